/** Times and durations as people type them, in the caller's time zone. */

import { UsageError } from './command.ts';

const BARE = /^([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?$/;
const DATED = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2}))?)?$/;
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/**
 * A selector as the API wants it: a bare `12:45` is the latest such time that has passed here, `2026-11-22T12:45`
 * is local, both get an offset. Everything else (`latest`, `~2`, ids, full times) passes unchanged.
 */
export function selectorWithOffset(selector: string, nowMs: number): string {
  const bare = BARE.exec(selector);
  if (bare !== null) return isoWithOffset(latestPassed(numbers(bare), new Date(nowMs)));
  const dated = DATED.exec(selector);
  if (dated === null) return selector;
  const [year, month, day, hour, minute, second] = numbers(dated);
  const date = new Date(year, month - 1, day, hour, minute, second);
  if (date.getMonth() !== month - 1 || date.getDate() !== day || date.getHours() !== hour) {
    throw new UsageError(`\`${selector}\` is no time of the calendar here.`);
  }
  return isoWithOffset(date);
}

/** `web-1@12:45` → with an offset; `web@3` and plain names pass unchanged. */
export function referenceWithOffset(reference: string, nowMs: number): string {
  const at = reference.indexOf('@');
  if (at === -1) return reference;
  return `${reference.slice(0, at)}@${selectorWithOffset(reference.slice(at + 1), nowMs)}`;
}

/** `web-1@latest` → server and selector. UsageError without both. */
export function splitReference(reference: string, nowMs: number): { server: string; selector: string } {
  const at = reference.indexOf('@');
  if (at < 1 || at === reference.length - 1) {
    throw new UsageError(
      `\`${reference}\` names no snapshot; write SERVER@SNAPSHOT, such as web-1@latest or web-1@12:45.`,
    );
  }
  return { server: reference.slice(0, at), selector: selectorWithOffset(reference.slice(at + 1), nowMs) };
}

/** `90`, `90s`, `15m`, `1h`, `2d`, `1w` → seconds. UsageError. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9})([smhdw]?)$/.exec(text);
  if (match === null) throw new UsageError(`\`${text}\` is no duration; write 20s, 15m, 1h or 2d.`);
  return Number(match[1]) * (UNIT_SECONDS[match[2] as string] ?? 1);
}

function latestPassed([hour, minute, second]: readonly number[], now: Date): Date {
  const date = new Date(now);
  date.setHours(hour as number, minute, second, 0);
  if (date > now) date.setDate(date.getDate() - 1);
  return date;
}

function numbers(match: RegExpExecArray): [number, number, number, number, number, number] {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = match.slice(1).map((part) => Number(part ?? 0));
  return [a, b, c, d, e, f];
}

/** ISO 8601 with the local offset at that time, whole seconds. */
function isoWithOffset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const local = new Date(date.getTime() + minutes * 60_000).toISOString().slice(0, 19);
  const sign = minutes < 0 ? '-' : '+';
  const two = (value: number) => String(Math.floor(Math.abs(value))).padStart(2, '0');
  return `${local}${sign}${two(minutes / 60)}:${two(minutes % 60)}`;
}
