import type { Event } from './event.ts';

/** Which events are wanted: exact types, or a whole group as `snapshot.*`. No list wants all. */
export function eventFilter(patterns: readonly string[] | undefined): (event: Event) => boolean {
  if (patterns === undefined) return () => true;
  return ({ type }) =>
    patterns.some((pattern) =>
      pattern.endsWith('.*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern,
    );
}
