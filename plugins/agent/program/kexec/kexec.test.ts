import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { RamdiskBoot } from '@overdub/core/agent';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sessionCpio } from '../../ramdisk/session.ts';
import { fetchRamdisk } from './fetch.ts';
import { kexecFileLoad } from './kexec-file-load.ts';

const URL = 'http://10.0.0.1:7077';
const boot: RamdiskBoot = { kernel: 'k', initrd: 'i', kernelArguments: ['quiet'], nonce: 'n1' };

let directory: string;
let kernel: string;
let initrd: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'overdub-kexec-'));
  kernel = join(directory, 'vmlinuz');
  initrd = join(directory, 'initrd');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test('the ramdisk is fetched with its session before the archive', async () => {
  const open = async (name: string) => Readable.from([Buffer.from(`<${name}`), Buffer.from('>')]);
  await fetchRamdisk({ url: URL, boot, open, kernel, initrd });
  expect(await readFile(kernel, 'latin1')).toBe('<k>');
  const session = sessionCpio({ url: URL, nonce: 'n1' });
  expect(await readFile(initrd)).toEqual(Buffer.concat([session, Buffer.from('<i>')]));
});

test('an archive that breaks off is an error', async () => {
  const broken = async (name: string) =>
    name === 'k'
      ? Readable.from([Buffer.from('kernel')])
      : Readable.from(
          (async function* () {
            yield Buffer.from('half');
            throw new Error('connection reset');
          })(),
        );
  await expect(fetchRamdisk({ url: URL, boot, open: broken, kernel, initrd })).rejects.toThrow(/reset/);
});

test('what is no kernel is refused by the running one, with its reason', async () => {
  await writeFile(kernel, 'no kernel');
  await writeFile(initrd, 'no archive');
  const loading = kexecFileLoad({ kernel, initrd, commandLine: 'quiet' });
  await expect(loading).rejects.toMatchObject({
    code: expect.stringMatching(/^(ENOEXEC|EPERM|ENOSYS|EBUSY|EINVAL|ENOPKG|EBADMSG|EKEYREJECTED)$/),
  });
});
