import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ImageSource } from '@overdub/core';
import { comparePaths, type Entry } from '@overdub/core/agent';
import { ContentShelf, collectBytes, nastyTree, readTree } from '@overdub/core/testing';
import { pack as createPack, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { treeImager } from '../imager.ts';
import { parseAclText } from './acl.ts';
import { openSource } from './open.ts';

type Member = Partial<Header> & { name: string; data?: string | Buffer };
const signal = new AbortController().signal;

/** A tar made member by member, hostile ones too. */
async function tar(members: readonly Member[]): Promise<Buffer> {
  const pack = createPack();
  for (const { data, ...header } of members)
    pack.entry({ uid: 0, gid: 0, mtime: new Date(0), ...header }, data ?? '');
  pack.finalize();
  return collectBytes(pack as AsyncIterable<Uint8Array>);
}

async function readSource(source: ImageSource): Promise<Entry[]> {
  const shelf = new ContentShelf();
  const entries: Entry[] = [];
  for await (const { entry, bytes, open } of source.entries(signal)) {
    if (open === undefined) {
      entries.push(entry);
      continue;
    }
    const content = shelf.put(await collectBytes(open()));
    expect(content.bytes).toBe(bytes);
    entries.push({ ...entry, content });
  }
  await source.close();
  return entries.sort((a, b) => comparePaths(a.path, b.path));
}

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'overdub-source-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function read(path: string): Promise<Entry[]> {
  const source = await openSource(path, async () => base);
  if (source === undefined) throw new Error(`${path} is nobody's`);
  return readSource(source);
}

async function readTar(bytes: Buffer): Promise<Entry[]> {
  const path = join(base, 'image.tar');
  writeFileSync(path, bytes);
  return read(path);
}

const text = (entries: readonly Entry[]) =>
  entries.map(({ path, type, target }) => `${path} ${type}${target === undefined ? '' : ` ${target}`}`);

describe('directories', () => {
  it('are read as they are, but for pseudo-filesystems and sockets', async () => {
    const root = join(base, 'root');
    mkdirSync(root);
    await nastyTree(root);
    mkdirSync(join(root, 'proc/1'), { recursive: true });
    mkdirSync(join(root, 'lost+found'));
    const expected = await readTree(treeImager, root, new ContentShelf());
    const paths = (await read(root)).map(({ path }) => path);
    expect(paths).toContain('lost+found');
    expect(paths).toContain('proc');
    expect(paths).not.toContain('proc/1');
    expect((await read(root)).filter(({ path }) => path !== 'lost+found')).toEqual(expected);
  });
});

describe('tars made by GNU tar', () => {
  const formats = [
    ['pax', ['--format=pax', '--xattrs', '--xattrs-include=*']],
    ['pax, sparse 0.0', ['--format=pax', '--xattrs', '--xattrs-include=*', '-S', '--sparse-version=0.0']],
    ['pax, sparse 0.1', ['--format=pax', '--xattrs', '--xattrs-include=*', '-S', '--sparse-version=0.1']],
    ['pax, sparse 1.0', ['--format=pax', '--xattrs', '--xattrs-include=*', '-S', '--sparse-version=1.0']],
    ['gnu, sparse', ['--format=gnu', '-S']],
  ] as const;
  it.each(formats)('%s: the same entries and contents as the tree itself', async (_, options) => {
    const root = join(base, 'root');
    mkdirSync(root);
    await nastyTree(root);
    const exact = options[0] === '--format=pax';
    // Whole seconds are all that GNU's own format holds; the group that shares an inode begins where tar met it.
    const plain = (entry: Entry): Entry => {
      const { xattrs, sparse, ...rest } = entry;
      const mtimeNs = exact
        ? rest.mtimeNs
        : `${(BigInt(rest.mtimeNs) - (((BigInt(rest.mtimeNs) % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n)) / 1_000_000_000n}000000000`;
      const kept = { ...rest, mtimeNs: mtimeNs.replace(/^-?0+$/, '0') };
      return exact && xattrs !== undefined ? { ...kept, xattrs } : kept;
    };
    const expected = (await readTree(treeImager, root, new ContentShelf())).map(plain);
    const file = join(base, 'image.tar');
    execFileSync('tar', ['-C', root, '-cf', file, '--sort=name', ...options, '.'], {
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const entries = await read(file);
    if (options.includes('-S' as never))
      expect(entries.find(({ path }) => path === 'sparse')?.sparse).toBe(true);
    expect(entries.map(plain)).toEqual(expected);
  });

  it('a file with many holes, so that the map needs extension blocks', async () => {
    const root = join(base, 'root');
    mkdirSync(root);
    writeFileSync(join(root, 'holes'), '');
    truncateSync(join(root, 'holes'), 64 << 20);
    for (let at = 0; at < 60; at++) {
      execFileSync(
        'dd',
        [
          'of=holes',
          'bs=4096',
          'count=1',
          `seek=${at * 256 + 3}`,
          'conv=notrunc',
          'if=/dev/urandom',
          'status=none',
        ],
        { cwd: root },
      );
    }
    const expected = createHash('sha256')
      .update(readFileSync(join(root, 'holes')))
      .digest('hex');
    for (const options of [
      ['--format=gnu'],
      ['--format=pax', '--sparse-version=1.0'],
      ['--format=pax', '--sparse-version=0.1'],
    ]) {
      const file = join(base, 'image.tar');
      execFileSync('tar', ['-C', root, '-cf', file, '-S', ...options, '.']);
      const holes = (await read(file)).find(({ path }) => path === 'holes');
      expect([options, holes?.content?.digest]).toEqual([options, expected]);
    }
  });

  it.each([
    ['gzip', ['gzip', '-c']],
    ['gzip in two members', ['bash', '-c', 'head -c 5000 "$0" | gzip; tail -c +5001 "$0" | gzip']],
    ['zstd', ['zstd', '-qc']],
    ['zstd in two frames', ['bash', '-c', 'head -c 5000 "$0" | zstd -qc; tail -c +5001 "$0" | zstd -qc']],
    ['xz', ['xz', '-c']],
    ['bzip2', ['bzip2', '-c']],
  ])('compressed with %s', async (_, [program, ...args]) => {
    const bytes = await tar([{ name: 'a', data: 'x'.repeat(20_000) }]);
    const plain = join(base, 'plain.tar');
    writeFileSync(plain, bytes);
    const packed = execFileSync(program as string, [...args, plain], { maxBuffer: 1 << 24 });
    const entries = await readTar(packed);
    expect(text(entries)).toEqual([' directory', 'a file']);
    for (const cut of [packed.length - 5, packed.length >> 1]) {
      await expect(readTar(packed.subarray(0, cut))).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
    }
  });
});

describe('tars', () => {
  it('get the directories they imply, and keep names whole', async () => {
    const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'ü'.repeat(80)}`;
    const entries = await readTar(
      await tar([
        { name: './a/b/c', data: 'x' },
        { name: long, data: '' },
        { name: 'a/', type: 'directory', mode: 0o700 },
      ]),
    );
    expect(entries.find(({ path }) => path === 'a')?.mode).toBe(0o700);
    expect(entries.find(({ path }) => path === 'a/b')).toMatchObject({ type: 'directory', mode: 0o755 });
    expect(entries.map(({ path }) => path)).toContain(long);
  });

  it('may go through links that stay inside', async () => {
    const entries = await readTar(
      await tar([
        { name: 'usr/lib/x', data: 'x' },
        { name: 'lib', type: 'symlink', linkname: 'usr/lib' },
        { name: 'usr/up', type: 'symlink', linkname: '../usr/lib/./' },
        { name: 'lib/y', data: 'y' },
        { name: 'usr/up/z', type: 'link', linkname: 'lib/x' },
      ]),
    );
    expect(text(entries).slice(1)).toEqual([
      'lib symlink usr/lib',
      'usr directory',
      'usr/lib directory',
      'usr/lib/x file',
      'usr/lib/y file',
      'usr/lib/z hardlink usr/lib/x',
      'usr/up symlink ../usr/lib/./',
    ]);
  });

  const link = (linkname: string): Member => ({ name: 'l', type: 'symlink', linkname });
  const hostile: [string, Member[], RegExp][] = [
    ['climbs', [{ name: 'a/../../etc/passwd', data: 'x' }], /climbs with \.\./],
    ['is absolute', [{ name: '/etc/passwd', data: 'x' }], /absolute/],
    [
      'goes through an absolute link',
      [link('/etc'), { name: 'l/passwd', data: 'x' }],
      /through the symbolic link to \/etc/,
    ],
    ['goes through a climbing link', [link('../..'), { name: 'l/passwd', data: 'x' }], /leads out/],
    [
      'goes through two links',
      [link('m'), { name: 'm', type: 'symlink', linkname: '..' }, { name: 'l/x', data: '' }],
      /leads out/,
    ],
    ['goes round in circles', [link('l'), { name: 'l/x', data: 'x' }], /circle/],
    [
      'lies below a file',
      [
        { name: 'f', data: 'x' },
        { name: 'f/x', data: 'x' },
      ],
      /no directory/,
    ],
    ['is a hard link to outside', [{ name: 'h', type: 'link', linkname: '../../etc/shadow' }], /climbs/],
    [
      'is a hard link to an absolute path',
      [{ name: 'h', type: 'link', linkname: '/etc/shadow' }],
      /absolute/,
    ],
    [
      'is a hard link through a link',
      [link('/etc'), { name: 'h', type: 'link', linkname: 'l/shadow' }],
      /symbolic link/,
    ],
    ['is a hard link to nothing', [{ name: 'h', type: 'link', linkname: 'gone' }], /not listed before/],
    [
      'comes twice',
      [
        { name: 'f', data: '1' },
        { name: './f', data: '2' },
      ],
      /twice/,
    ],
    ['replaces a link by a file behind it', [link('x'), { name: 'l', data: '2' }], /twice/],
  ];
  it.each(hostile)('are refused when an entry %s', async (_, members, message) => {
    await expect(readTar(await tar(members))).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      message: expect.stringMatching(message),
    });
  });

  it('are refused when truncated anywhere, naming the entry', async () => {
    const bytes = await tar([
      { name: 'first', data: 'x'.repeat(3000) },
      { name: 'second', data: 'y'.repeat(3000) },
    ]);
    const end = bytes.length - 1024;
    for (const cut of [1024, 2048, 512 + 3072, 512 + 3072 + 512, end - 600, end]) {
      await expect(readTar(bytes.subarray(0, cut))).rejects.toMatchObject({
        code: 'IMAGE_INVALID',
        message: expect.stringMatching(/"(first|second)".*truncated/),
      });
    }
    await expect(readTar(bytes.subarray(0, 512 + 3072 + 512 + 100))).rejects.toThrow('"second"');
  });

  it('are refused when damaged, whatever byte it is, or read as something honest', async () => {
    const bytes = await tar([
      { name: 'first', data: 'x'.repeat(100) },
      { name: 'second', pax: { mtime: '1.5' }, data: 'y' },
    ]);
    for (let at = 0; at < bytes.length; at += 37) {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] as number) ^ 0x55;
      const path = join(base, 'damaged.tar');
      writeFileSync(path, copy);
      const outcome = await openSource(path, async () => base)
        .then(async (source) => (source === undefined ? 'not ours' : (await readSource(source)).length))
        .catch((error: { code?: string }) => error.code);
      expect(['IMAGE_INVALID', 'not ours', 2, 3]).toContain(outcome);
    }
  });

  it('keep pax times, owners beyond octal, attributes and access lists', async () => {
    const acl = 'user::rw-\nuser:1000:r-x\ngroup::r--\nmask::r-x\nother::---\n';
    const pax = {
      mtime: '-1.25',
      uid: '3000000000',
      'SCHILY.xattr.user.x': 'value',
      'SCHILY.acl.access': acl,
    };
    const entry = (await readTar(await tar([{ name: 'f', data: '', pax }]))).at(-1) as Entry;
    expect(entry).toMatchObject({ mtimeNs: '-1250000000', uid: 3_000_000_000 });
    expect(entry.xattrs).toEqual({
      'system.posix_acl_access': parseAclText(acl),
      'user.x': Buffer.from('value').toString('base64'),
    });
    const named = { 'SCHILY.acl.access': 'user::rw-\nuser:lisa:r--\ngroup::r--\nother::---' };
    await expect(readTar(await tar([{ name: 'f', data: '', pax: named }]))).rejects.toThrow(/lisa.*--xattrs/);
  });
});

describe('access lists', () => {
  it('become the bytes that setfacl stores', () => {
    writeFileSync(join(base, 'f'), '');
    execFileSync('setfacl', ['-m', 'u:1000:rx,g:50:w,u:7:-', 'f'], { cwd: base });
    const acl = execFileSync('getfacl', ['-cn', 'f'], { cwd: base, encoding: 'utf8' });
    const stored = execFileSync(
      'getfattr',
      ['-n', 'system.posix_acl_access', '-e', 'base64', '--only-values', 'f'],
      { cwd: base },
    );
    expect(parseAclText(acl)).toBe(stored.toString('base64'));
  });
});

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('image archives', () => {
  /** Three layers: links across them, a replaced file, whiteouts plain and opaque, a type change. */
  const layers = () =>
    Promise.all([
      tar([
        { name: 'etc/', type: 'directory', mode: 0o755 },
        { name: 'etc/gone', data: 'x' },
        { name: 'etc/kept', data: 'kept' },
        { name: 'opaque/old', data: 'x' },
        { name: 'opaque/deep/old', data: 'x' },
        { name: 'dir/inside', data: 'x' },
        { name: 'linked', data: 'old content' },
        { name: 'lib', type: 'symlink', linkname: 'usr/lib' },
        { name: 'usr/lib/', type: 'directory' },
      ]),
      tar([
        { name: 'etc/.wh.gone', data: '' },
        { name: 'etc/new', data: 'new' },
        { name: 'opaque/new', data: 'n' },
        { name: 'opaque/.wh..wh..opq', data: '' },
        { name: 'dir', data: 'now a file' },
        { name: 'other', type: 'link', linkname: 'linked' },
        { name: 'lib/through', data: 't' },
        { name: '.wh..wh.plnk', data: '' },
      ]),
      tar([
        { name: 'linked', data: 'new content' },
        { name: 'etc/', type: 'directory', mode: 0o700 },
        { name: '.wh.absent', data: '' },
      ]),
    ]);
  const expected = [
    ' directory',
    'dir file',
    'etc directory',
    'etc/kept file',
    'etc/new file',
    'lib symlink usr/lib',
    'linked file',
    'opaque directory',
    'opaque/new file',
    'other file',
    'usr directory',
    'usr/lib directory',
    'usr/lib/through file',
  ];
  const check = (entries: readonly Entry[]) => {
    expect(text(entries)).toEqual(expected);
    const byPath = new Map(entries.map((entry) => [entry.path, entry]));
    expect(byPath.get('other')?.content?.digest).toBe(sha256(Buffer.from('old content')));
    expect(byPath.get('linked')?.content?.digest).toBe(sha256(Buffer.from('new content')));
    expect(byPath.get('etc')?.mode).toBe(0o700);
  };

  const dockerArchive = async () => {
    const tars = await layers();
    const manifest = [
      { Config: 'c.json', RepoTags: ['web:1'], Layers: ['a/layer.tar', 'b/layer.tar', 'c/layer.tar'] },
    ];
    const id = (letter: string) => letter.repeat(64);
    return tar([
      { name: `${id('a')}/layer.tar`, data: tars[0] as Buffer },
      { name: 'a/layer.tar', type: 'symlink', linkname: `../${id('a')}/layer.tar` },
      { name: 'b/layer.tar', data: tars[1] as Buffer },
      { name: 'c/layer.tar', data: tars[2] as Buffer },
      { name: 'manifest.json', data: JSON.stringify(manifest) },
    ]);
  };

  it('as docker save makes them, links between layer files included', async () => {
    check(await readTar(await dockerArchive()));
  });

  it('compressed: unpacked once, and cleared away after', async () => {
    check(await readTar(gzipSync(await dockerArchive())));
    expect(readdirSync(base)).toEqual(['image.tar']);
  });

  /** Blobs of an OCI layout, each named by its digest. */
  const ociFiles = async () => {
    const files: Record<string, Buffer> = { 'oci-layout': Buffer.from('{"imageLayoutVersion":"1.0.0"}') };
    const blob = (bytes: Buffer, mediaType: string, more = {}) => {
      const digest = sha256(bytes);
      files[`blobs/sha256/${digest}`] = bytes;
      return { mediaType, digest: `sha256:${digest}`, size: bytes.length, ...more };
    };
    const json = (value: unknown) => Buffer.from(JSON.stringify(value));
    const [one, two, three] = (await layers()) as [Buffer, Buffer, Buffer];
    const zstd = execFileSync('zstd', ['-qc'], { input: two });
    const descriptors = [gzipSync(one), zstd, three].map((bytes) =>
      blob(bytes, 'application/vnd.oci.image.layer.v1.tar'),
    );
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const mine = blob(json({ schemaVersion: 2, layers: descriptors }), type, {
      platform: { os: 'linux', architecture },
    });
    const attestation = blob(json({ layers: [] }), type, {
      platform: { os: 'unknown', architecture: 'unknown' },
    });
    const foreign = blob(json({ layers: [1] }), type, { platform: { os: 'linux', architecture: 's390x' } });
    const index = blob(
      json({ manifests: [foreign, mine, attestation] }),
      'application/vnd.oci.image.index.v1+json',
    );
    files['index.json'] = json({ manifests: [index] });
    return files;
  };
  const writeLayout = (files: Record<string, Buffer>) => {
    const root = join(base, 'layout');
    for (const [name, bytes] of Object.entries(files)) {
      mkdirSync(join(root, name, '..'), { recursive: true });
      writeFileSync(join(root, name), bytes);
    }
    return root;
  };

  it('as OCI layouts in a directory, for this processor, layers compressed as they like', async () => {
    check(await read(writeLayout(await ociFiles())));
  });

  it('as OCI layouts in a tar', async () => {
    const files = await ociFiles();
    check(await readTar(await tar(Object.entries(files).map(([name, data]) => ({ name, data })))));
  });

  it('are refused when a blob is damaged, missing, or a link to elsewhere', async () => {
    const files = await ociFiles();
    const root = writeLayout(files);
    const blobs = Object.keys(files).filter((name) => name.startsWith('blobs/'));
    const layer = blobs[0] as string;
    writeFileSync(join(root, layer), 'damaged');
    await expect(read(root)).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      message: expect.stringContaining('digest'),
    });
    rmSync(join(root, layer));
    await expect(read(root)).rejects.toThrow(/does not hold blobs/);
    symlinkSync('/etc/passwd', join(root, layer));
    await expect(read(root)).rejects.toThrow();
  });

  it.each([
    ['two images', [{ Layers: [] }, { Layers: [] }], /holds 2 images/],
    ['no layers named', [{}], /names no layers/],
    ['a layer that is not there', [{ Layers: ['x/layer.tar'] }], /does not hold x/],
    ['a layer outside', [{ Layers: ['../../etc/passwd'] }], /climbs/],
    ['no list', {}, /neither index.json nor manifest.json/],
  ])('are refused: %s', async (_, manifest, message) => {
    const bytes = await tar([{ name: 'manifest.json', data: JSON.stringify(manifest) }]);
    await expect(readTar(bytes)).rejects.toMatchObject({
      code: 'IMAGE_INVALID',
      message: expect.stringMatching(message),
    });
  });

  it('are refused when a layer climbs out', async () => {
    const evil = await tar([{ name: '../../etc/cron.d/x', data: 'x' }]);
    const bytes = await tar([
      { name: 'manifest.json', data: JSON.stringify([{ Layers: ['l.tar'] }]) },
      { name: 'l.tar', data: evil },
    ]);
    await expect(readTar(bytes)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });
});

describe('anything else', () => {
  it('is nobody’s here, or not there at all', async () => {
    writeFileSync(join(base, 'notes.txt'), 'x'.repeat(5000));
    writeFileSync(join(base, 'short'), 'x');
    expect(await openSource(join(base, 'notes.txt'), async () => base)).toBeUndefined();
    expect(await openSource(join(base, 'short'), async () => base)).toBeUndefined();
    await expect(openSource(join(base, 'gone'), async () => base)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    await expect(readTar(await tar([]))).rejects.toThrow();
  });
});
