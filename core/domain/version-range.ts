/** A small semver range check (https://semver.org, npm's caret, tilde, x-ranges, comparators and `||`). */

type Version = readonly [number, number, number];

/** Is `version` (x.y.z) inside `range`? `undefined` when the range is malformed. Pre-releases are not supported. */
export function satisfies(version: string, range: string): boolean | undefined {
  const exact = parsePartial(version);
  if (exact === undefined || exact.length !== 3) return undefined;
  const answers = range.split('||').map((part) => satisfiesAll(exact as unknown as Version, part.trim()));
  return answers.includes(undefined) ? undefined : answers.includes(true);
}

function satisfiesAll(version: Version, range: string): boolean | undefined {
  if (range === '') return undefined;
  const answers = range.split(/\s+/).map((comparator) => satisfiesOne(version, comparator));
  return answers.includes(undefined) ? undefined : !answers.includes(false);
}

function satisfiesOne(version: Version, comparator: string): boolean | undefined {
  const match = /^(\^|~|>=|<=|>|<|=)?(.+)$/.exec(comparator);
  const parts = match === null ? undefined : parsePartial(match[2] as string);
  if (match === null || parts === undefined) return undefined;
  const low: Version = [parts[0] ?? 0, parts[1] ?? 0, parts[2] ?? 0];
  const high = upperBound(parts, match[1] ?? '=');
  switch (match[1]) {
    case '>=':
      return compare(version, low) >= 0;
    case '<':
      return compare(version, low) < 0;
    case '>':
      return parts.length === 3 ? compare(version, low) > 0 : compare(version, high) >= 0;
    case '<=':
      return parts.length === 3 ? compare(version, low) <= 0 : compare(version, high) < 0;
    default:
      return compare(version, low) >= 0 && compare(version, high) < 0;
  }
}

/** The first version beyond what `^`, `~` or a partial version covers. */
function upperBound(parts: readonly number[], operator: string): Version {
  const [major = 0, minor = 0, patch = 0] = parts;
  if (parts.length === 0) return [Number.POSITIVE_INFINITY, 0, 0];
  if (operator === '^') {
    if (major > 0 || parts.length === 1) return [major + 1, 0, 0];
    return minor > 0 || parts.length === 2 ? [0, minor + 1, 0] : [0, 0, patch + 1];
  }
  if (parts.length === 1) return [major + 1, 0, 0];
  return operator === '~' || parts.length === 2 ? [major, minor + 1, 0] : [major, minor, patch + 1];
}

/** `1.2` → [1, 2]; `1.x` → [1]; `*` → []; `undefined` if malformed. */
function parsePartial(text: string): readonly number[] | undefined {
  const match = /^v?(0|[1-9]\d*|[xX*])(?:\.(0|[1-9]\d*|[xX*]))?(?:\.(0|[1-9]\d*|[xX*]))?$/.exec(text);
  if (match === null) return undefined;
  const parts = match.slice(1).filter((part) => part !== undefined);
  const wildcard = parts.findIndex((part) => /[xX*]/.test(part));
  return (wildcard === -1 ? parts : parts.slice(0, wildcard)).map(Number);
}

function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}
