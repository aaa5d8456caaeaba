/** Judges the paths of an archive: nothing absolute, nothing that climbs out, nothing through a link that leaves. */

import { assertEntryPath, OverdubError } from '@overdub/core/agent';
import { REMEDY } from './tar-format.ts';

/** What an archive has put at a path so far. */
export type Placed =
  | { readonly kind: 'directory' | 'other' }
  | { readonly kind: 'symlink'; readonly target: string };
export type Lookup = (path: string) => Placed | undefined;

const MAX_LINKS = 40;

/** `./a//b/` → `a/b`. IMAGE_INVALID for absolute paths and for `..`. */
export function cleanPath(path: string): string {
  if (path.startsWith('/')) throw escapes(path, 'is absolute');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw escapes(path, 'climbs with ..');
  const clean = parts.join('/');
  assertEntryPath(clean);
  return clean;
}

/**
 * Where a clean path really lies: symbolic links above it that stay inside the image are resolved, others are
 * IMAGE_INVALID, and so is anything below a file. A final link is not followed.
 */
export function resolveInside(path: string, lookup: Lookup): string {
  const rest = path.split('/');
  const done: string[] = [];
  let links = 0;
  while (rest.length > 1) {
    const name = rest.shift() as string;
    if (name === '..') {
      if (done.length === 0) throw escapes(path, 'leads out of the image through a symbolic link');
      done.pop();
      continue;
    }
    const placed = lookup([...done, name].join('/'));
    if (placed?.kind === 'other')
      throw escapes(path, `lies below ${[...done, name].join('/')}, which is no directory`);
    if (placed?.kind !== 'symlink') {
      done.push(name);
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw escapes(path, 'runs through a circle of symbolic links');
    if (placed.target.startsWith('/'))
      throw escapes(path, `goes through the symbolic link to ${placed.target}`);
    rest.unshift(...placed.target.split('/').filter((part) => part !== '' && part !== '.'));
  }
  const last = rest[0] as string;
  if (last === '..') throw escapes(path, 'leads out of the image through a symbolic link');
  return [...done, last].join('/');
}

function escapes(path: string, why: string): OverdubError {
  return new OverdubError('IMAGE_INVALID', `The entry ${JSON.stringify(path)} ${why}.`, REMEDY);
}
