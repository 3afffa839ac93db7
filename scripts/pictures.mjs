/**
 * `node scripts/pictures.mjs` draws the pictures of the docs, docs/images/*.svg, as plain text:
 * latency.svg from the tables of docs/inside/benchmarks.md, the others from what stands here. With
 * `--check` it writes nothing and fails if a picture isn't what it would draw. The colours follow
 * the reader's light or dark page.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f; }
  .small { font-size: 12px; fill: #57606a; }
  .code { font-family: ui-monospace, monospace; }
  .title { font-weight: 600; }
  .middle { text-anchor: middle; }
  .end { text-anchor: end; }
  .box { fill: #f6f8fa; stroke: #8c959f; }
  .own { fill: #ddeaff; stroke: #2f6fdb; }
  .line { fill: none; stroke: #57606a; stroke-width: 1.5; }
  .back { stroke: #1a7f37; }
  .head { fill: #57606a; stroke: none; }
  .back-head { fill: #1a7f37; }
  .quiet { fill: #8c959f; }
  .native { fill: #c4730c; }
  .undrop { fill: #2f6fdb; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #a8b1bb; }
    .box { fill: #21262d; stroke: #8b949e; }
    .own { fill: #14294b; stroke: #6ea8ff; }
    .line { stroke: #a8b1bb; }
    .back { stroke: #56d364; }
    .head { fill: #a8b1bb; }
    .back-head { fill: #56d364; }
    .native { fill: #e0a345; }
    .undrop { fill: #6ea8ff; }
  }`;

const pictures = {
  'docs/images/latency.svg': latency(),
  'docs/images/lifecycle.svg': lifecycle(),
  'docs/images/statement.svg': statement(),
};
const isChecked = process.argv.includes('--check');
for (const [path, svg] of Object.entries(pictures)) {
  const file = join(root, path);
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (before === svg) continue;
  if (isChecked) {
    process.stderr.write(`${path} is not what node scripts/pictures.mjs draws.\n`);
    process.exitCode = 1;
  } else writeFileSync(file, svg);
}

// ── the pictures ────────────────────────────────────────────────────────────────────────────────

/** What a purge and drops do to the reads of others, and the time of a drop. */
function latency() {
  const page = readFileSync(join(root, 'docs/inside/benchmarks.md'), 'utf8');
  const bars = (heading, columns) =>
    tableUnder(page, heading).map(([name, ...cells]) => ({
      name,
      values: columns.map((column) => (column === null ? null : cells[column])),
    }));
  const big = /native ([\d.]+) ms, through undrop ([\d.]+) ms/.exec(page);
  if (big === null) throw new Error('docs/inside/benchmarks.md has no drop of a large table');
  const large = [{ name: 'MySQL 5.6', values: [null, big[1], big[2]] }];
  const purge = (columns) =>
    bars('Others beside a purge', columns).map(({ name, values }) => ({
      name: name.replace(/, (\d+)$/, ', $1/s'),
      values,
    }));
  const left = [
    ...panel(0, 44, 'Reads of others beside a purge, p99 in ms', purge([0, 1, 2])),
    ...panel(0, 248, 'Reads of others beside 25 drops/s, p99 in ms', [
      ...bars('Others beside drops', [0, 1, 2]),
    ]),
  ];
  const right = [
    ...panel(420, 44, 'DROP TABLE of 100 rows, ms', bars('A drop', [null, 0, 1])),
    ...panel(420, 248, 'DROP TABLE of 1 GB, ms', large),
    ...panel(420, 330, 'Rows that a purge deletes, per second', purge([null, 3, 4])),
  ];
  const legend = [
    ['quiet', 'nothing beside', 0],
    ['native', 'without undrop: DROP TABLE, or a loop of DELETE … LIMIT 50', 150],
    ['undrop', 'through undrop', 560],
  ].flatMap(([kind, label, x]) => [
    `<rect class="${kind}" x="${x}" y="6" width="12" height="12"/>`,
    text(x + 18, 16, label, 'small'),
  ]);
  return svg(820, 480, 'What a purge and a drop cost', [...legend, ...left, ...right]);
}

/** The states of a table that was dropped. */
function lifecycle() {
  const states = [
    ['live', 'in your schema'],
    ['HOLD', 'whole, 7 days'],
    ['PURGE', 'rows deleted'],
    ['EVAC', 'pages leave'],
    ['DROP', 'file removed'],
    ['gone', ''],
  ];
  const boxes = states.flatMap(([name, what], at) => [
    ...box(14 + at * 130, 70, 106, 50, { name, what, isOwn: at > 0 && at < 5 }),
    ...(at < 5 ? [arrow([120 + at * 130, 95], [142 + at * 130, 95])] : []),
  ]);
  return svg(800, 170, 'How a dropped table lives', [
    ...boxes,
    text(132, 140, 'DROP TABLE', 'small code middle'),
    ...restore(),
    text(256, 140, 'due', 'small middle'),
    '<path class="line" d="M 274 128 v 10 h 496 v -10"/>',
    text(522, 158, 'cannot be restored whole', 'small middle'),
  ]);
}

function restore() {
  return [
    '<path class="line back" d="M 200 70 C 200 22 70 22 70 61"/>',
    '<path class="back-head" d="M 65 60 l 5 10 l 5 -10 z"/>',
    text(135, 26, 'UNDROP TABLE', 'small code middle'),
    text(290, 26, 'PURGE and EVAC: on servers that stall while a large table is dropped;', 'small'),
    text(290, 44, 'on others a table goes from HOLD straight to DROP.', 'small'),
  ];
}

/** The way of a statement through the proxy. */
function statement() {
  const frame = '<rect class="box" x="130" y="14" width="510" height="232" rx="6"/>';
  return svg(800, 260, 'The way of a statement', [
    frame,
    text(142, 34, 'undrop', 'title'),
    ...box(14, 60, 90, 50, { name: 'client', what: '', isOwn: false }),
    ...box(690, 60, 96, 186, { name: 'server', what: '', isOwn: false }),
    ...box(160, 60, 110, 50, { name: 'gate', what: 'finds drops', isOwn: true }),
    arrow([104, 85], [158, 85]),
    arrow([270, 85], [688, 85]),
    text(480, 78, 'all else: relayed, byte for byte', 'small middle'),
    arrow([215, 110], [215, 138]),
    text(224, 130, 'may be a drop', 'small'),
    ...box(160, 140, 110, 50, { name: 'classify', what: 'tables, rules', isOwn: true }),
    ...box(320, 140, 110, 50, { name: 'ledger', what: 'the way back', isOwn: true }),
    ...box(480, 140, 130, 50, { name: 'RENAME', what: 'to a hold name', isOwn: true }),
    arrow([270, 165], [318, 165]),
    arrow([430, 165], [478, 165]),
    arrow([610, 165], [688, 165]),
    '<path class="line" d="M 215 190 V 222 H 59 V 119"/>',
    '<path class="head" d="M 54 120 l 5 -10 l 5 10 z"/>',
    text(226, 218, 'not understood: refused, nothing is changed', 'small'),
  ]);
}

// ── how they are drawn ──────────────────────────────────────────────────────────────────────────

/** Groups of bars under a title, all to one scale. */
function panel(x, y, title, groups) {
  const most = Math.max(...groups.flatMap(({ values }) => values.map(Number)));
  const lines = [text(x, y, title, 'title')];
  let top = y + 12;
  for (const { name, values } of groups) {
    lines.push(text(x, top + 22, name, 'small'));
    for (const [at, value] of values.entries()) {
      if (value === null) continue;
      const width = Math.max(2, (160 * Number(value)) / most).toFixed(0);
      const kind = ['quiet', 'native', 'undrop'][at];
      lines.push(
        `<rect class="${kind}" x="${x + 170}" y="${top}" width="${width}" height="13"/>`,
        text(x + 176 + Number(width), top + 11, value, 'small'),
      );
      top += 15;
    }
    top += 8;
  }
  return lines;
}

function box(x, y, width, height, { name, what, isOwn }) {
  const middle = x + width / 2;
  const first = what === '' ? y + height / 2 + 5 : y + height / 2 - 3;
  return [
    `<rect class="${isOwn ? 'own' : 'box'}" x="${x}" y="${y}" width="${width}" height="${height}" rx="6"/>`,
    text(middle, first, name, 'title middle'),
    ...(what === '' ? [] : [text(middle, first + 17, what, 'small middle')]),
  ];
}

/** To the right, or down. */
function arrow([x, y], [toX, toY]) {
  const isDown = toY > y;
  const line = isDown ? `M ${x} ${y} V ${toY - 8}` : `M ${x} ${y} H ${toX - 8}`;
  const head = isDown
    ? `M ${toX - 5} ${toY - 9} l 5 9 l 5 -9 z`
    : `M ${toX - 9} ${toY - 5} l 9 5 l -9 5 z`;
  return `<path class="line" d="${line}"/><path class="head" d="${head}"/>`;
}

function text(x, y, content, kind) {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text class="${kind}" x="${x}" y="${y}">${escaped}</text>`;
}

function svg(width, height, title, lines) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" role="img">`,
    `<title>${title}</title>`,
    `<style>${STYLE}\n</style>`,
    ...lines,
    '</svg>\n',
  ].join('\n');
}

/** The cells of the first table below a heading, without its head. */
function tableUnder(page, heading) {
  const start = page.indexOf(`\n## ${heading}\n`);
  if (start < 0) throw new Error(`docs/inside/benchmarks.md has no heading ${heading}`);
  const lines = page.slice(start + 1).split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const rows = lines.slice(first + 2);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, end).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}
