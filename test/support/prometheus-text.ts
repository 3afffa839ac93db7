/**
 * Reads the text format of Prometheus (version 0.0.4) as strictly as its own parser: a type before
 * its samples, each sample once, nothing that isn't understood.
 */

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const SAMPLE = new RegExp(`^(${NAME})(\\{(?:${LABEL}(?:,${LABEL})*)?\\})? (\\S+)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`);
const HELP = new RegExp(`^# HELP (${NAME}) .+$`);

/** Samples by their name and labels, as they are written. */
export function parseExposition(text: string): ReadonlyMap<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  if (!text.endsWith('\n')) throw new Error('Expected a newline at the end.');
  for (const line of text.split('\n')) {
    if (line === '' || HELP.test(line)) continue;
    const [, declared, type] = TYPE.exec(line) ?? [];
    if (declared !== undefined && type !== undefined) {
      if (types.has(declared)) throw new Error(`Two types: ${line}`);
      types.set(declared, type);
      continue;
    }
    const [, name = '', labels = '', digits = ''] = SAMPLE.exec(line) ?? [];
    const value = Number(digits);
    const isNumber = /^nan$/i.test(digits) || !Number.isNaN(value);
    if (name === '' || !isNumber) throw new Error(`Not understood: ${line}`);
    const family = [name, name.replace(/_(bucket|sum|count)$/, '')].find((one) => types.has(one));
    if (family === undefined) throw new Error(`A sample without a type: ${line}`);
    const key = `${name}${labels}`;
    if (samples.has(key)) throw new Error(`Twice: ${line}`);
    samples.set(key, value);
  }
  return samples;
}
