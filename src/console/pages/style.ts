/** The stylesheet of the console: light and dark by the system, down to 360 pixels. */
export const STYLE = `:root {
  color-scheme: light dark;
  --ground: #fff; --raised: #f4f5f7; --line: #c9ced6; --text: #16191f; --soft: #4b5563;
  --link: #0b5cad; --good: #14692f; --bad: #a11616; --warn: #7a4a00; --bar: #2f6fb4;
  --hold: #2f6fb4; --purge: #a15c00; --evac: #6b4aa8; --drop: #8a2f2f; --button: #0b5cad;
}
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171c; --raised: #1e232b; --line: #48505d; --text: #e8eaee; --soft: #b3bac6;
  --link: #7db8f5; --good: #7fd69a; --bad: #ff9d9d; --warn: #f1bf6b; --bar: #5e9ade;
  --hold: #5e9ade; --purge: #d99a45; --evac: #a98ce0; --drop: #d98080; --button: #1f6fc0;
} }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
a { color: var(--link); }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 0; background: var(--ground); padding: .5rem; z-index: 1; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; align-items: center;
  padding: .5rem 1rem; background: var(--raised); border-bottom: 1px solid var(--line); }
header strong { font-size: 1.1rem; }
header nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: 0;
  padding: 0; }
header nav a[aria-current] { color: var(--text); font-weight: 600; text-decoration: none; }
header form { margin-left: auto; display: flex; gap: .5rem; align-items: center; }
main { max-width: 80rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .25rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 1.75rem 0 .5rem; }
.note, .flash, .state { padding: .6rem .8rem; border-radius: 6px; border: 1px solid var(--line);
  background: var(--raised); margin: 0 0 1rem; }
.good { border-left: 6px solid var(--good); }
.bad { border-left: 6px solid var(--bad); }
.warn { border-left: 6px solid var(--warn); }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--soft); padding: .25rem 0; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td time, .scroll time { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.wide { min-width: 12rem; overflow-wrap: anywhere; }
td.bar { width: 55%; min-width: 6rem; }
td.bar svg { display: block; width: 100%; height: 1.1rem; }
rect.bar { fill: var(--bar); } rect.hold { fill: var(--hold); } rect.purge { fill: var(--purge); }
rect.evac { fill: var(--evac); } rect.drop { fill: var(--drop); }
figure { margin: 0 0 1rem; }
figure > svg { width: 100%; height: 8rem; display: block; border-bottom: 1px solid var(--line); }
figcaption { color: var(--soft); }
figcaption svg { width: .8rem; height: .8rem; margin-left: .5rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr));
  gap: 0 2rem; }
ol.life { display: flex; flex-wrap: wrap; gap: .5rem 2rem; list-style: none; padding: 0; margin: 0; }
ol.life li { position: relative; flex: 1 1 8rem; padding: .6rem .8rem; border: 2px solid var(--line);
  border-radius: 8px; background: var(--raised); }
ol.life li:not(:last-child)::after { content: '\\2192'; position: absolute; right: -1.6rem; top: 1.2rem;
  color: var(--soft); }
ol.life .HOLD { border-color: var(--hold); } ol.life .PURGE { border-color: var(--purge); }
ol.life .EVAC { border-color: var(--evac); } ol.life .DROP { border-color: var(--drop); }
ol.life b { display: block; }
pre { background: var(--raised); border: 1px solid var(--line); border-radius: 6px; padding: .6rem;
  overflow-x: auto; margin: .25rem 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .2rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
form.row { display: flex; flex-wrap: wrap; gap: .5rem .75rem; align-items: end; margin: .5rem 0 1rem; }
label { display: inline-flex; flex-direction: column; font-size: .9rem; color: var(--soft); }
label.inline { flex-direction: row; gap: .4rem; align-items: center; }
input, select { font: inherit; color: var(--text); background: var(--ground);
  border: 1px solid var(--soft); border-radius: 5px; padding: .35rem .5rem; max-width: 100%; }
input[type='checkbox'] { width: 1.15rem; height: 1.15rem; }
button { font: inherit; color: #fff; background: var(--button); border: 1px solid transparent;
  border-radius: 5px; padding: .4rem .9rem; cursor: pointer; }
button.plain { color: var(--link); background: transparent; border-color: var(--line); }
button.danger { background: #a11616; }
.box { border: 1px solid var(--line); border-radius: 8px; padding: .75rem 1rem; margin: 0 0 1rem; }
.box { overflow-wrap: anywhere; }
.box h2 { margin-top: 0; }
progress { width: 100%; height: 1.25rem; }
footer { max-width: 80rem; margin: 0 auto; padding: 1rem; color: var(--soft); font-size: .9rem; }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
  header form { margin-left: 0; }
  td.number { white-space: normal; }
  ol.life li:not(:last-child)::after { content: none; }
}
`;
