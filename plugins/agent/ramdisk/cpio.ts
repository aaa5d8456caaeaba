/** Writes the `newc` cpio format (kernel: Documentation/driver-api/early-userspace/buffer-format.rst). */

/** One thing in an archive. Paths are relative, without a leading `./`; directories above are made by themselves. */
export type CpioNode =
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'file'; readonly mode: number; readonly content: Uint8Array }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'device'; readonly mode: number; readonly major: number; readonly minor: number };

const TYPE = { directory: 0o040000, file: 0o100000, symlink: 0o120000, device: 0o020000 } as const;
const TRAILER = 'TRAILER!!!';
/** The kernel skips zeros between archives; 512 is what iPXE, GRUB and cpio(1) all accept. */
const BLOCK = 512;

/**
 * The archive of `nodes`. Same nodes, same bytes: entries in byte order of their paths, inodes counted from 1
 * (never a host's 64-bit ones), times, owners and device numbers zero. Length is a multiple of 512.
 */
export function cpio(nodes: ReadonlyMap<string, CpioNode>): Buffer {
  const complete = withParents(nodes);
  const parts: Buffer[] = [];
  let inode = 1;
  for (const path of [...complete.keys()].sort(byBytes)) {
    parts.push(...entry(path, complete.get(path) as CpioNode, inode));
    inode += 1;
  }
  parts.push(record(TRAILER, { inode: 0, mode: 0, links: 1, bytes: 0, major: 0, minor: 0 }));
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  parts.push(Buffer.alloc(-length & (BLOCK - 1)));
  return Buffer.concat(parts);
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function withParents(nodes: ReadonlyMap<string, CpioNode>): Map<string, CpioNode> {
  const complete = new Map(nodes);
  for (const path of nodes.keys()) {
    checkPath(path);
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) {
      const parent = path.slice(0, cut);
      const present = complete.get(parent);
      if (present === undefined) complete.set(parent, { kind: 'directory', mode: 0o755 });
      else if (present.kind !== 'directory')
        throw new Error(`cpio: ${path} lies below ${present.kind} ${parent}`);
    }
  }
  return complete;
}

function checkPath(path: string): void {
  const bad =
    path.split('/').some((part) => part === '' || part === '.' || part === '..') || path.includes('\0');
  if (bad || path === TRAILER) throw new Error(`cpio: not a clean relative path: ${JSON.stringify(path)}`);
}

interface Header {
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly bytes: number;
  readonly major: number;
  readonly minor: number;
}

function entry(path: string, node: CpioNode, inode: number): Buffer[] {
  const content =
    node.kind === 'file'
      ? Buffer.from(node.content.buffer, node.content.byteOffset, node.content.byteLength)
      : Buffer.from(node.kind === 'symlink' ? node.target : '');
  const header = record(path, {
    inode,
    mode: TYPE[node.kind] | (node.kind === 'symlink' ? 0o777 : node.mode),
    links: node.kind === 'directory' ? 2 : 1,
    bytes: content.length,
    major: node.kind === 'device' ? node.major : 0,
    minor: node.kind === 'device' ? node.minor : 0,
  });
  return [header, content, Buffer.alloc(-content.length & 3)];
}

function record(name: string, header: Header): Buffer {
  if (header.bytes > 0xffff_ffff) throw new Error(`cpio: ${name} is larger than newc can say (4 GiB)`);
  const nameBytes = Buffer.from(`${name}\0`);
  const { inode, mode, links, bytes, major, minor } = header;
  const fields = [inode, mode, 0, 0, links, 0, bytes, 0, 0, major, minor, nameBytes.length, 0];
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const length = text.length + nameBytes.length;
  return Buffer.concat([Buffer.from(text), nameBytes, Buffer.alloc(-length & 3)]);
}
