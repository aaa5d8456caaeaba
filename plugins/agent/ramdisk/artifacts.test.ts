import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRamdiskArtifacts } from './artifacts.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'overdub-artifacts-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const initrd = Buffer.from(Array.from({ length: 700_000 }, (_, index) => (index * 7) % 251));
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

async function putRamdisk(dir: string, arch = 'x86_64'): Promise<void> {
  const about = (bytes: Buffer) => ({ bytes: bytes.length, sha256: sha256(bytes) });
  const vmlinuz = Buffer.from('kernel');
  await writeFile(join(dir, 'vmlinuz'), vmlinuz);
  await writeFile(join(dir, 'initrd'), initrd);
  const files = { vmlinuz: about(vmlinuz), initrd: about(initrd) };
  await writeFile(
    join(dir, 'ramdisk.json'),
    JSON.stringify({ digest: 'd', arch, kernel: '6', files, packages: [] }),
  );
}

async function bytes(source: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source ?? []) parts.push(part);
  return Buffer.concat(parts);
}

const artifacts = () => createRamdiskArtifacts({ dir, url: () => 'http://10.0.0.1:7077' });

describe('ramdisk artifacts', () => {
  test('kernel and initramfs come with their digest as validator', async () => {
    await putRamdisk(dir);
    const artifact = await artifacts()('ramdisk/x86_64/initrd');
    expect(artifact).toMatchObject({ bytes: initrd.length, etag: sha256(initrd) });
    expect((await bytes(artifact?.read())).equals(initrd)).toBe(true);
  });

  test.each([
    [0, 10],
    [300_000, 300_000],
    [699_999, 10],
    [700_000, 5],
    [9_000_000, 5],
  ])('the range from %i of %i bytes is cut at the end', async (offset, length) => {
    await putRamdisk(dir);
    const artifact = await artifacts()('ramdisk/x86_64/initrd');
    expect(
      (await bytes(artifact?.read({ offset, length }))).equals(initrd.subarray(offset, offset + length)),
    ).toBe(true);
  });

  test('a session archive has a range too', async () => {
    const artifact = await artifacts()('session/abc.cpio');
    const whole = await bytes(artifact?.read());
    expect(whole.toString('latin1')).toContain('{"url":"http://10.0.0.1:7077","nonce":"abc"}');
    expect((await bytes(artifact?.read({ offset: 6, length: 8 }))).equals(whole.subarray(6, 14))).toBe(true);
  });

  test.each([
    'ramdisk/arm64/initrd',
    'ramdisk/x86_64/other',
    'session/a/b.cpio',
    'session/.cpio',
    'ipxe/ipxe.efi',
  ])('is silent about %s', async (name) => expect(await artifacts()(name)).toBeUndefined());

  test('arm64’s lies beside x86-64’s, and is served under its own name', async () => {
    await putRamdisk(dir);
    await mkdir(join(dir, 'arm64'));
    await putRamdisk(join(dir, 'arm64'), 'arm64');
    await rm(join(dir, 'vmlinuz'));
    expect(await bytes((await artifacts()('ramdisk/arm64/vmlinuz'))?.read())).toEqual(Buffer.from('kernel'));
    await expect(artifacts()('ramdisk/x86_64/vmlinuz')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await rm(join(dir, 'arm64', 'initrd'));
    await expect(artifacts()('ramdisk/arm64/initrd')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      remedy: 'Run `overdub ramdisk build --arch arm64`.',
    });
  });

  test('no ramdisk, or half of one, says what to do', async () => {
    await expect(artifacts()('ramdisk/x86_64/initrd')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      remedy: 'Run `overdub ramdisk build`.',
    });
    await putRamdisk(dir);
    await writeFile(join(dir, 'initrd'), initrd.subarray(0, 1000));
    await expect(artifacts()('ramdisk/x86_64/initrd')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  test('a rebuild in mid-read is refused, never mixed in', async () => {
    await putRamdisk(dir);
    const artifact = await artifacts()('ramdisk/x86_64/initrd');
    await writeFile(join(dir, 'new'), initrd.toReversed());
    await rename(join(dir, 'new'), join(dir, 'initrd'));
    await expect(bytes(artifact?.read({ offset: 0, length: 10 }))).rejects.toMatchObject({
      code: 'CONFLICT',
    });
  });
});
