/** Durations as people write them: `500ms`, `20s`, `1h30m`, `7d`. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds, or null where `text` is no duration. A bare number but 0 has no unit: null. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return null;
  let totalMs = 0;
  for (const [, count = '', , unit = ''] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h|d|w)/g)) {
    totalMs += Number(count) * (UNIT_MS[unit] ?? 0);
  }
  return Math.round(totalMs);
}
