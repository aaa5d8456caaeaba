/** Globs as in gitignore(5), relative to the root, and the paths that are never part of a snapshot. */

import { OverdubError } from '@overdub/core/agent';
import { isWithin } from './names.ts';

/** Directories that only carry kernel filesystems or volatile state: what is below never counts. */
export const PSEUDO_DIRECTORIES: readonly string[] = ['dev', 'proc', 'run', 'sys'];

/** The machine's: rendered anew after every provision, move and rollback, never restored. */
export const MACHINE_OWNED: readonly string[] = ['/boot/efi/**', '/etc/systemd/network/10-overdub-*.link'];

/** The agent's: its program, credential and caches, and the unit that starts it. */
export const AGENT_OWNED: readonly string[] = [
  '/var/lib/overdub/**',
  '/etc/systemd/system/overdub-agent.service',
  '/etc/systemd/system/*.wants/overdub-agent.service',
];

/** Left out of every scan and every apply, besides what the server's record adds. */
export const DEFAULT_EXCLUDES: readonly string[] = [
  ...PSEUDO_DIRECTORIES.map((name) => `/${name}/**`),
  '/swapfile',
  '/swap.img',
  '/lost+found',
  ...MACHINE_OWNED,
  ...AGENT_OWNED,
];

/** Tells whether a path, or a directory above it, is excluded. */
export type Excluded = (path: string, isDirectory: boolean) => boolean;

/**
 * Compiles globs: `*` and `?` stay within a component, `**` crosses, `[a-z]` and `[!a-z]` are sets, a `/` at the
 * start or inside anchors at the root, one at the end means directories only. INPUT_INVALID for `!` and for sets
 * left open.
 */
export function compileExcludes(patterns: readonly string[]): Excluded {
  const any: string[] = [];
  const directories: string[] = [];
  for (const pattern of patterns) {
    const directoryOnly = pattern.endsWith('/');
    (directoryOnly ? directories : any).push(
      toSource(directoryOnly ? pattern.slice(0, -1) : pattern, pattern),
    );
  }
  const matched = compile(any, '(?:/[^]*)?');
  const below = compile(directories, '/[^]*');
  const exactly = compile(directories, '');
  return (path, isDirectory) =>
    path !== '' && (matched(path) || below(path) || (isDirectory && exactly(path)));
}

function compile(sources: readonly string[], tail: string): (path: string) => boolean {
  if (sources.length === 0) return () => false;
  const expression = new RegExp(`^(?:${sources.join('|')})${tail}$`);
  return (path) => expression.test(path);
}

function toSource(pattern: string, whole: string): string {
  if (pattern === '' || pattern.startsWith('!')) {
    throw invalid(whole, 'negation and empty patterns are not supported');
  }
  const anchored = pattern.includes('/');
  const text = pattern.startsWith('/') ? pattern.slice(1) : pattern;
  const tokens = text.match(/\*\*\/|\/\*\*$|^\*\*$|\*+|\?|\[[!^]?\]?[^\]]*\]|\\.|./gs) ?? [];
  return (anchored ? '' : '(?:[^]*/)?') + tokens.map((token) => tokenSource(token, whole)).join('');
}

function tokenSource(token: string, whole: string): string {
  if (token === '**/') return '(?:[^]*/)?';
  if (token === '/**') return '/[^]+';
  if (token === '**') return '[^]+';
  if (token.startsWith('*')) return '[^/]*';
  if (token === '?') return '[^/]';
  if (token === '[') throw invalid(whole, 'a [ has no ]');
  if (token.startsWith('[')) {
    const negated = token[1] === '!' || token[1] === '^';
    const inside = token.slice(negated ? 2 : 1, -1).replace(/[\\\][^]/g, '\\$&');
    return `(?!/)[${negated ? '^' : ''}${inside}]`;
  }
  const character = token.length === 2 ? (token[1] as string) : token;
  return character.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function invalid(pattern: string, why: string): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `The exclude pattern ${JSON.stringify(pattern)} cannot be used: ${why}.`,
    'Write it as in gitignore(5), for example var/cache/** or *.tmp.',
  );
}

/** Whether a path is chosen by `only` (and not by `keep`), leads to something chosen, or is out of reach. */
export type Scope = (path: string) => 'inside' | 'ancestor' | 'outside';

/** Compiles `only` and `keep` lists of paths. Leading and trailing slashes do not matter. */
export function compileScope(only?: readonly string[], keep?: readonly string[]): Scope {
  const wanted = only === undefined || only.length === 0 ? undefined : only.map(trimSlashes);
  const kept = (keep ?? []).map(trimSlashes);
  return (path) => {
    if (kept.some((top) => isWithin(path, top))) return 'outside';
    if (wanted === undefined || wanted.some((top) => isWithin(path, top))) return 'inside';
    return wanted.some((top) => isWithin(top, path)) ? 'ancestor' : 'outside';
  };
}

function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}
