/**
 * The script of the command-line clients of the matrix: what a person types, with everything that
 * the client says about it, and errors passed over (`--force`).
 */

import { BIG_RESULT, BIG_ROW, type ScriptJob, UNICODE } from './client-script.js';
import { type ClientName, runClient } from './clients.js';

export type CliName = Extract<ClientName, 'mysql-9.7' | 'mariadb-10.11' | 'mariadb-11.8'>;

/** Options of the connection itself: no TLS, and the password may go by RSA; or nothing but TLS. */
export function connectionOptions(name: ClientName, { tls = false } = {}): readonly string[] {
  if (name.startsWith('mysql')) {
    return tls ? ['--ssl-mode=REQUIRED'] : ['--ssl-mode=DISABLED', '--get-server-public-key'];
  }
  return tls ? ['--ssl', '--skip-ssl-verify-server-cert'] : ['--skip-ssl'];
}

export async function runCli(name: CliName, job: ScriptJob, extra: readonly string[] = []) {
  const args = [
    ...connectionOptions(name, job),
    ...['--force', '--table', '-vvv', '--show-warnings', '--column-type-info', '--local-infile=1'],
    ...extra,
    job.schema,
  ];
  const { code, stdout, stderr } = await runClient(name, job.target, args, {
    input: cliScript(name, job),
  });
  return { code, text: `${stdout}\n${stderr}` };
}

function cliScript(name: CliName, { infile }: ScriptJob): string {
  // Sent with the statement behind them, a drop, in another layout of the packet.
  const attributes = name === 'mysql-9.7' ? 'query_attributes one 1 two zwei;' : '';
  return `SELECT CURRENT_USER(), DATABASE();
INSERT INTO kept VALUES (1, '${UNICODE}', 12345.67, '2026-02-28 23:59:59', X'00FF');
SELECT * FROM kept;
PREPARE p FROM 'SELECT id + ?, ? FROM n WHERE id < ?';
SET @x = 10, @y = 3;
EXECUTE p USING @x, @y, @y;
DEALLOCATE PREPARE p;
BEGIN;
INSERT INTO kept (id) VALUES (7), (8);
ROLLBACK;
START TRANSACTION;
INSERT INTO kept (id) VALUES (9);
COMMIT;
SELECT COUNT(*) FROM kept;
DELIMITER //
SELECT 1; SELECT 2, 'x'; DO 1; SELECT 3//
SELECT 1; SELECT * FROM missing; SELECT 2//
DELIMITER ;
CALL two();
SELECT '${UNICODE}' AS txt, HEX('${UNICODE}') AS code;
SELECT * FROM missing;
SELECT FROM WHERE;
INSERT INTO n VALUES (1);
SELECT 'one' + 1, 1 / 0;
LOAD DATA LOCAL INFILE '${infile}' INTO TABLE loaded CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',';
LOAD DATA LOCAL INFILE '/nowhere/x' INTO TABLE loaded;
SELECT * FROM loaded;
${BIG_RESULT};
${BIG_ROW};
${attributes}
DROP TABLE a;
SELECT * FROM a;
DROP TABLE IF EXISTS b;
SHOW WARNINGS;
DROP TABLE IF EXISTS missing;
SHOW WARNINGS;
DROP TABLE missing;
SHOW WARNINGS;
DROP TABLE IF EXISTS c, \`d\` -- two of them
;
USE information_schema;
connect
SHOW TABLES;
SELECT CONCAT('the', ' end');
`;
}
