/** How people name a snapshot: `latest`, `~2`, an id, `12:45`, `12:45+01:00`, or a full time. */

import { OverdubError } from '../errors.ts';
import type { Snapshot } from './snapshot.ts';

export interface SelectorOptions {
  /** Milliseconds since the epoch, by the appliance's clock. */
  readonly now: number;
  /** The caller's time zone, minutes east of UTC: what a bare `12:45` means. Without it only full times do. */
  readonly offsetMinutes?: number;
  /** `--before`: the newest that ended strictly before the time. */
  readonly strictlyBefore?: boolean;
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const BARE = /^([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?(Z|[+-]\d{2}:\d{2})?$/;
const FULL = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?$/;

/**
 * The snapshot that a selector names. Snapshots marked `suspect` are found by id only.
 * INPUT_INVALID for what is no selector, NOT_FOUND when nothing fits.
 */
export function resolveSelector(
  snapshots: readonly Snapshot[],
  selector: string,
  options: SelectorOptions,
): Snapshot {
  const byId = snapshots.find((snapshot) => snapshot.id === selector);
  if (byId !== undefined) return byId;
  const good = snapshots.filter((snapshot) => !snapshot.suspect).sort(byEnd);
  const back = selector === 'latest' ? 0 : stepsBack(selector);
  if (back !== undefined) return good.at(-1 - back) ?? missing(good, selector);
  const time = selectorTime(selector, options);
  if (time !== undefined) {
    const fits = (end: number) => (options.strictlyBefore === true ? end < time : end <= time);
    return good.findLast((snapshot) => fits(Date.parse(snapshot.endedAt))) ?? missing(good, selector);
  }
  if (/^[a-z0-9][a-z0-9._-]*$/.test(selector)) return missing(good, selector);
  throw invalid(selector, 'is neither latest, ~2, an id nor a time');
}

function byEnd(a: Snapshot, b: Snapshot): number {
  return Date.parse(a.endedAt) - Date.parse(b.endedAt) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}

function stepsBack(selector: string): number | undefined {
  const match = /^~(\d{1,6})$/.exec(selector);
  return match === null ? undefined : Number(match[1]);
}

/** Milliseconds since the epoch, or undefined when the selector is no time at all. */
function selectorTime(selector: string, options: SelectorOptions): number | undefined {
  const bare = BARE.exec(selector);
  if (bare !== null) return latestPassed(bare, selector, options);
  const full = FULL.exec(selector);
  if (full === null) return undefined;
  const [, date, minutes, seconds = ':00', zone] = full;
  const local = Date.parse(`${date}T${minutes}${seconds}Z`);
  const exists = !Number.isNaN(local) && new Date(local).toISOString().startsWith(`${date}T${minutes}`);
  if (!exists) throw invalid(selector, 'is no time of the calendar');
  return local - (zone === undefined ? requireOffset(selector, options) : zoneMinutes(zone)) * MINUTE;
}

function latestPassed(bare: RegExpExecArray, selector: string, options: SelectorOptions): number {
  const zone = bare[4] === undefined ? requireOffset(selector, options) : zoneMinutes(bare[4]);
  const offset = zone * MINUTE;
  const [hours, minutes, seconds] = [bare[1], bare[2], bare[3] ?? '0'].map(Number) as [
    number,
    number,
    number,
  ];
  const midnight = Math.floor((options.now + offset) / DAY) * DAY - offset;
  const today = midnight + ((hours * 60 + minutes) * 60 + seconds) * 1000;
  return today <= options.now ? today : today - DAY;
}

function zoneMinutes(zone: string): number {
  if (zone === 'Z') return 0;
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6));
  return zone.startsWith('-') ? -minutes : minutes;
}

function requireOffset(selector: string, options: SelectorOptions): number {
  if (options.offsetMinutes !== undefined) return options.offsetMinutes;
  throw invalid(selector, 'does not say in which time zone');
}

function invalid(selector: string, why: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `${JSON.stringify(selector)} ${why}.`,
    'Name a snapshot as latest, ~2, its id, 12:45, or 2026-11-22T12:45+01:00.',
  );
}

function missing(good: readonly Snapshot[], selector: string): never {
  const [first, last] = [good[0], good.at(-1)];
  const range =
    first === undefined || last === undefined
      ? 'There is none yet.'
      : `There are ${good.length}, ended from ${first.endedAt} to ${last.endedAt}.`;
  throw new OverdubError(
    'NOT_FOUND',
    `No snapshot fits ${JSON.stringify(selector)}. ${range}`,
    'List them with: overdub snapshot list SERVER',
  );
}
