/** Durations as people write them: `500ms`, `20s`, `1h30m`, `7d`. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** The same the other way round, by whole units: `1h30m`. */
export function formatDuration(ms: number): string {
  let [rest, text] = [ms, ''];
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const unitMs = UNIT_MS[unit] ?? 1;
    const count = Math.floor(rest / unitMs);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs;
  }
  return text === '' ? '0' : text;
}

/** Milliseconds, or null if `text` is no duration. A bare number but 0 has no unit: null. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return null;
  let totalMs = 0;
  for (const [, count = '', , unit = ''] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h|d|w)/g)) {
    totalMs += Number(count) * (UNIT_MS[unit] ?? 0);
  }
  return Math.round(totalMs);
}
