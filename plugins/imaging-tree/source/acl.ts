/** POSIX ACLs as text (acl(5)) → the bytes of `system.posix_acl_*` (Linux posix_acl_xattr.h, version 2). */

import { invalid } from './tar-format.ts';

const TAGS = { user: [0x01, 0x02], group: [0x04, 0x08], mask: [0x10, 0x10], other: [0x20, 0x20] } as const;
const UNDEFINED_ID = 0xffffffff;

/** Base64 of the extended attribute. IMAGE_INVALID for names of accounts: only numbers mean the same everywhere. */
export function parseAclText(text: string): string {
  const entries = text
    .split(/[\n,]/)
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map(parseEntry)
    .sort((a, b) => a.tag - b.tag || a.id - b.id);
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(({ tag, permissions, id }, index) => {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  });
  return bytes.toString('base64');
}

function parseEntry(line: string): { tag: number; permissions: number; id: number } {
  const [kind, qualifier, rights, number] = line.split(':');
  const tags = TAGS[kind as keyof typeof TAGS];
  if (tags === undefined || qualifier === undefined || !/^[r-][w-][xX-]/.test(rights ?? '')) {
    throw invalid(`an access control list is malformed (${JSON.stringify(line)})`);
  }
  const named = qualifier !== '';
  // star and bsdtar append the number of a named account as a fourth field.
  const id = /^[0-9]+$/.test(qualifier) ? Number(qualifier) : Number(number ?? Number.NaN);
  if (named && !(id < UNDEFINED_ID)) {
    throw invalid(
      `an access control list names the account ${qualifier}; make the archive with tar --xattrs --xattrs-include='*' instead of --acls`,
    );
  }
  const permissions = ['r', 'w', 'x'].reduce(
    (bits, right, at) => bits | (rights?.[at] === right ? 4 >> at : 0),
    0,
  );
  return { tag: tags[named ? 1 : 0], permissions, id: named ? id : UNDEFINED_ID };
}
