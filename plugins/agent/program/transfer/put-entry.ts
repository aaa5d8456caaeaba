/** The entry of a file that a hook puts in place of another. */

import { lstat } from 'node:fs/promises';
import { type ContentRef, type Entry, OverdubError } from '@overdub/core/agent';

/** Metadata of the file itself, path of its place. INPUT_INVALID when it is no regular file. */
export async function putEntry(
  put: { readonly path: string; readonly file: string },
  content: ContentRef,
): Promise<Entry> {
  const info = await lstat(put.file, { bigint: true });
  if (!info.isFile()) {
    throw new OverdubError(
      'INPUT_INVALID',
      `A post-snapshot hook put ${put.file}, which is no regular file.`,
      'Let the hook write a plain file and name that.',
    );
  }
  return {
    path: put.path,
    type: 'file',
    mode: Number(info.mode) & 0o7777,
    uid: Number(info.uid),
    gid: Number(info.gid),
    mtimeNs: info.mtimeNs.toString(),
    content,
  };
}
