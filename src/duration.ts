/**
 * Durations, times and hours as users write them: `1h30m`, `14:00`, `2026-11-24`.
 */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** `1h30m`, in whole units. */
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

/** Milliseconds, up to a hundred years; null: it isn't one. A number other than 0 needs a unit. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return null;
  let totalMs = 0;
  for (const [, count = '', , unit = ''] of text.matchAll(/(\d+(\.\d+)?)(ms|s|m|h|d|w)/g)) {
    totalMs += Number(count) * (UNIT_MS[unit] ?? 0);
  }
  return totalMs <= 36_525 * DAY_MS ? Math.round(totalMs) : null;
}

/** `2026-11-24 14:00:00`, in UTC, to the second. */
export function utcText(time: Date): string {
  return time.toISOString().slice(0, 19).replace('T', ' ');
}

/** The same with its zone, for sentences. */
export function timeText(time: Date): string {
  return `${utcText(time)} UTC`;
}

/** `2 min ago`, `in 8 h`, `now`. */
export function distanceText(ms: number): string {
  const farMs = Math.abs(ms);
  if (farMs < 1_000) return 'now';
  const [, unitMs = DAY_MS, unit = 'days'] = DISTANCES.find(([belowMs]) => farMs < belowMs) ?? [];
  const text = `${Math.round(farMs / unitMs)} ${unit}`;
  return ms < 0 ? `${text} ago` : `in ${text}`;
}

/** Below so many milliseconds in that unit; else in days. */
const DISTANCES = [
  [60_000, 1_000, 's'],
  [3_600_000, 60_000, 'min'],
  [172_800_000, 3_600_000, 'h'],
] as const;

export const TIME_EXPECTED =
  'a time like 2026-11-24T14:00 or 14:00 (UTC), or a duration like 2h (two hours ago)';

/**
 * ISO 8601, `HH:MM` of today, `2 hours ago`, or a duration before `now`; null for all else. `zone`:
 * `+02:00`, for a time without one; default: UTC.
 */
export function parseTime(text: string, now: Date, zone = '+00:00'): Date | null {
  const agoMs = parseDuration(text) ?? parseAgo(text);
  if (agoMs !== null) return new Date(now.getTime() - agoMs);
  const there = new Date(now.getTime() - (Date.parse(`1970-01-01T00:00${zone}`) || 0));
  const whole = CLOCK.test(text) ? `${there.toISOString().slice(0, 10)}T${text}` : text;
  const [, day, time = '00:00', at = zone] = DAY_AND_CLOCK.exec(whole) ?? [];
  const found = new Date(`${day}T${time}${at}`);
  // The 31st of April would be the 1st of May.
  const isDay = new Date(`${day}T00:00Z`).toJSON()?.slice(0, 10) === day;
  // The zone may lead out of the years that servers know.
  return isDay && /^\d{4}-/.test(found.toJSON() ?? '') ? found : null;
}

/**
 * The same for the beginning of a span that ends by `now`: a time of day that is still to come is
 * yesterday's.
 */
export function parseSince(text: string, now: Date, zone?: string): Date | null {
  const found = parseTime(text, now, zone);
  const isAhead = found !== null && found > now && CLOCK.test(text);
  return isAhead ? new Date(found.getTime() - DAY_MS) : found;
}

/** The same without durations, for a time that may be in the future. */
export function parseMoment(text: string, now: Date, zone?: string): Date | null {
  return parseDuration(text) === null ? parseTime(text, now, zone) : null;
}

/** Milliseconds of `2 hours ago`; null: it isn't that. */
function parseAgo(text: string): number | null {
  const [, count, unit = ''] = AGO.exec(text.trim()) ?? [];
  return count === undefined ? null : parseDuration(`${count}${unit[0]?.toLowerCase()}`);
}

const AGO = /^(\d{1,6}) ?(s|m|h|d|w|(?:second|minute|hour|day|week)s?) ago$/i;

const CLOCK = /^\d\d:\d\d(?::\d\d(?:\.\d+)?)?$/;
const DAY_AND_CLOCK =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?)?$/;

/** Minutes of each day in UTC. A window that ends before it starts goes over midnight. */
export interface Window {
  readonly fromMinute: number;
  readonly toMinute: number;
}

export const WINDOW_EXPECTED = 'hours of each day like 22:00-06:00 UTC';

/** Null if `text` isn't a window. */
export function parseWindow(text: string): Window | null {
  const found = /^([01]\d|2[0-3]):([0-5]\d) ?[-\u2013] ?([01]\d|2[0-3]):([0-5]\d)( ?UTC)?$/i.exec(
    text,
  );
  if (found === null) return null;
  const [, fromHour, fromMinute, toHour, toMinute] = found.map(Number);
  const window = {
    fromMinute: 60 * (fromHour ?? 0) + (fromMinute ?? 0),
    toMinute: 60 * (toHour ?? 0) + (toMinute ?? 0),
  };
  return window.fromMinute === window.toMinute ? null : window;
}

export function formatWindow({ fromMinute, toMinute }: Window): string {
  const clock = (minute: number) =>
    [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, '0')).join(':');
  return `${clock(fromMinute)}-${clock(toMinute)} UTC`;
}

const DAY_MS = 86_400_000;

/** Milliseconds until the window opens; 0: it is open. */
export function untilWindowMs({ fromMinute, toMinute }: Window, now: Date): number {
  const nowMs = now.getTime() % DAY_MS;
  const [fromMs, toMs] = [fromMinute * 60_000, toMinute * 60_000];
  const isOpen = fromMs < toMs ? fromMs <= nowMs && nowMs < toMs : fromMs <= nowMs || nowMs < toMs;
  return isOpen ? 0 : (fromMs - nowMs + DAY_MS) % DAY_MS;
}
