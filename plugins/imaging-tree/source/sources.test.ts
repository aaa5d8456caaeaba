import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Entry } from '@overdub/core/agent';
import { ContentShelf, nastyTree, readTree } from '@overdub/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { treeImager } from '../imager.ts';
import { type Member, outline, readArchive, readPath, readSource, tar } from '../testing/tars.ts';
import { parseAclText } from './acl.ts';
import { openSource } from './open.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'overdub-source-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const read = (path: string) => readPath(path, base);
const readTar = (bytes: Buffer) => readArchive(bytes, base);
const text = outline;

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
