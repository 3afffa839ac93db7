/**
 * What the scripts of the tools from npm have in common. Each is a program of its own, run with the
 * address, an account, and the name of an empty schema; it writes down what it does, what its tool
 * says to the server, and what it sees there.
 *
 * Invariant: a step that fails ends the script without THE_END, unless it is said to fail.
 */
const { createRequire } = require('node:module');
const { join } = require('node:path');

const [host, port, user, password, schema] = process.argv.slice(2);

exports.schema = schema;
exports.login = { host, port: Number(port), user, password, database: schema };
/** The tools are in the cache, with all that they need; nothing of the project's own is taken. */
exports.load = createRequire(join(process.env.NPM_TOOLS, 'package.json'));

exports.say = say;
exports.step = step;
exports.refused = refused;
exports.look = look;
exports.run = run;

function say(line) {
  process.stdout.write(`${line}\n`);
}

/**
 * Does something, and writes down what came of it. A title that ends with `in any order` is of what
 * takes tables, or the indexes of one, as the server lists them, whose order is the server's whim.
 */
async function step(title, act) {
  say(`== ${title}`);
  const value = await act();
  say(JSON.stringify(value) ?? 'nothing');
}

/** Does what has to fail; the error is written down as a program sees it. */
async function refused(title, act) {
  say(`== ${title}`);
  try {
    await act();
  } catch (error) {
    const { errno, code, sqlState } = error.cause ?? error.original ?? error;
    say(JSON.stringify({ name: error.name, message: error.message, errno, code, sqlState }));
    return;
  }
  throw new Error(`${title}: it did not fail`);
}

/** Everything that is there, as the server shows it to the tool's own session. */
async function look(title, ask) {
  say(`== look: ${title}`);
  const all = async (text) => {
    const rows = await ask(text);
    say(`${text}\n${rows.map((row) => JSON.stringify(row)).join('\n')}`);
    return rows;
  };
  await all('SHOW DATABASES');
  await all('SHOW FULL TABLES');
  const tables = await ask(
    `SELECT table_name AS name, table_type AS kind FROM information_schema.tables
     WHERE table_schema = '${schema}' ORDER BY 1`,
  );
  say(JSON.stringify(tables));
  for (const { name, kind } of tables) {
    await all(`SHOW CREATE TABLE \`${name}\``);
    if (kind === 'BASE TABLE') await all(`SELECT COUNT(*) AS n FROM \`${name}\``);
  }
  await all('SHOW TRIGGERS');
  await all(
    `SELECT table_schema, table_name, constraint_name, constraint_type
     FROM information_schema.table_constraints
     WHERE constraint_schema = '${schema}' ORDER BY 1, 2, 3`,
  );
  await all(
    `SELECT table_name, constraint_name, referenced_table_name, update_rule, delete_rule
     FROM information_schema.referential_constraints
     WHERE constraint_schema = '${schema}' ORDER BY 1, 2`,
  );
}

/** The whole script; `close` whatever came of it. */
function run(act, close) {
  act()
    .then(() => say('the end'))
    .catch((error) => {
      process.stderr.write(`${error.stack ?? error}\n`);
      process.exitCode = 1;
    })
    .finally(close);
}
