import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Entry } from '@overdub/core/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { outline, readArchive, readPath, tar } from '../testing/tars.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'overdub-source-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const read = (path: string) => readPath(path, base);
const readTar = (bytes: Buffer) => readArchive(bytes, base);
const text = outline;

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
