import { expect, test } from 'vitest';
import type { TaskContext } from './context.ts';
import { reboot, wayDown } from './reboot.ts';

const ramdisk = { kernel: 'k', initrd: 'i', kernelArguments: [], nonce: 'n1' };
const task = { kind: 'reboot', id: 't1', operation: 'o1', to: 'ramdisk', ramdisk } as const;

/** A server whose appliance has no ramdisk to fetch. */
function context(options: object): { said: string[]; context: TaskContext } {
  const said: string[] = [];
  const appliance = {
    artifact: async () => {
      throw new Error('no such boot artifact');
    },
  };
  const print = (line: string) => said.push(line);
  const all = {
    options: { root: '/', where: 'server', url: 'http://10.0.0.1', print, ...options },
    appliance,
  };
  return { said, context: { ...all, signal: new AbortController().signal } as unknown as TaskContext };
}

test('a server that cannot kexec goes through its firmware, and says why', async () => {
  const { said, context: server } = context({});
  const { by, reason } = await wayDown(server, task);
  expect(by).toBe('firmware');
  expect(reason).toMatch(/systemd does not run here|no such boot artifact/);
  expect(said).toEqual([expect.stringContaining(`reboots instead: ${reason}`)]);
});

test.each([
  ['a server that is to boot its disk', {}, { ...task, to: 'local', ramdisk: undefined }],
  ['the ramdisk', { where: 'ramdisk' }, task],
] as const)('%s goes through its firmware', async (_, options, given) => {
  const { said, context: machine } = context(options);
  const { ramdisk: boot, ...rest } = given;
  expect(await wayDown(machine, boot === undefined ? rest : { ...rest, ramdisk: boot })).toEqual({
    by: 'firmware',
  });
  expect(said).toEqual([]);
});

test('an agent on a directory has no machine to reboot', async () => {
  await expect(reboot(context({ root: '/srv/tree' }).context, task)).rejects.toMatchObject({
    code: 'CONFLICT',
  });
});
