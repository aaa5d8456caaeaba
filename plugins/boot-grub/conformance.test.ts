import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Artifact, BootAnswer, BootRequest, HookTaps, PluginContext } from '@overdub/core';
import { collectBytes } from '@overdub/core/testing';
import { Check } from 'typebox/value';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import grub from './index.ts';
import { GrubOptions } from './options.ts';
import { renderBoot } from './render.ts';
import { MAC, PLAN, putPackages, renderRequest } from './test-kit.ts';

const NAME = `grub/machine/10.0.0.1/x86_64/${MAC}.cfg`;
let tree: string;
beforeEach(async () => {
  tree = await mkdtemp(path.join(os.tmpdir(), 'overdub-grub-'));
  await putPackages(tree, 'x86_64', 'x64');
});
afterEach(() => rm(tree, { recursive: true, force: true }));

type ArtifactTap = (input: { name: string }) => Promise<Artifact | undefined>;
interface Tapped {
  stage?: number;
  artifact?: ArtifactTap;
}

/** Applies the plugin over a core that answers as told, and serves `served`. */
function applied(options: GrubOptions, answer?: BootAnswer, served: readonly string[] = []) {
  const tapped: Tapped = {};
  const asked: BootRequest[] = [];
  const warned: string[] = [];
  const ctx = {
    hooks: {
      boot: {
        render: { tap: (_: unknown, { stage = 0 } = {}) => Object.assign(tapped, { stage }) },
        artifact: { tap: (artifact: ArtifactTap) => Object.assign(tapped, { artifact }) },
      },
    } as unknown as HookTaps,
    log: { debug() {}, info() {}, warn: (_: object, line: string) => warned.push(line), error() {} },
    http: { port: 7077 },
    netboot: {
      answer: async (request: BootRequest) => {
        asked.push(request);
        const rendered = renderBoot({ ...renderRequest(), request }, options);
        return answer ?? { machine: undefined, plan: PLAN, rendered };
      },
      artifact: async (name: string) => (served.includes(name) ? {} : undefined),
    },
  } as unknown as PluginContext;
  const { definition } = grub(options);
  definition.apply(ctx, options);
  const text = async (name: string): Promise<string | undefined> => {
    const artifact = await tapped.artifact?.({ name });
    return artifact && String(await collectBytes(artifact.read()));
  };
  return { definition, ctx, tapped, asked, warned, text };
}

test('the plugin is named like its folder, and asked before boot-ipxe', () => {
  const { definition, tapped } = applied({});
  expect(definition.name).toBe('boot-grub');
  expect(tapped.stage).toBeLessThan(0);
});

test.each<[unknown, boolean]>([
  [{}, true],
  [{ uefi: 'ipxe', packages: '/srv/x', arm: '/srv/arm' }, true],
  [{ uefi: 'shim' }, false],
  [{ arm64: '/srv' }, false],
])('options %j are valid: %s', (options, valid) => expect(Check(GrubOptions, options)).toBe(valid));

describe('binaries', () => {
  test.each([
    ['grub/shimx64.efi', '<shimx64.efi.signed>'],
    ['grub/grubx64.efi', '<grubnetx64.efi.signed>'],
    ['grub/mmx64.efi', '<mmx64.efi.signed>'],
    ['grubx64.efi', '<grubnetx64.efi.signed>'],
    ['mmx64.efi', '<mmx64.efi.signed>'],
    ['shimx64.efi', undefined],
    ['grub/shimaa64.efi', undefined],
    ['grub/../grub/shimx64.efi', undefined],
    ['usr/lib/shim/shimx64.efi.signed', undefined],
  ])('%s: %s', async (name, content) => expect(await applied({ packages: tree }).text(name)).toBe(content));

  test('ARM’s only from the tree that is named for them', async () => {
    await putPackages(path.join(tree, 'arm'), 'arm64', 'aa64');
    const { text } = applied({ packages: tree, arm: path.join(tree, 'arm') });
    expect(await text('grub/grubaa64.efi')).toBe('<grubnetaa64.efi.signed>');
    expect(await text('grub/grubx64.efi')).toBe('<grubnetx64.efi.signed>');
  });

  test('missing packages fail the start, and are named', async () => {
    const { definition, ctx } = applied({});
    await expect(definition.start?.(ctx, { packages: tree })).resolves.toBeUndefined();
    await expect(definition.start?.(ctx, { packages: tree, arm: tree })).rejects.toMatchObject({
      code: 'PREREQUISITE_MISSING',
      message: expect.stringMatching(/shimaa64\.efi\.signed is not there, so no uefi-arm64 machine/),
      remedy: expect.stringMatching(/dpkg -x/),
    });
  });
});

describe('the configuration of a machine', () => {
  test('asks the core as GRUB, under the address that GRUB came from', async () => {
    const { text, asked } = applied({}, undefined, ['ramdisk/x86_64/vmlinuz']);
    expect(await text(NAME)).toContain('(tftp,10.0.0.1)/session/Abc_-9.cpio');
    expect(asked).toEqual([
      { mac: MAC, arch: 'uefi-x86_64', client: 'grub', stage: 'script', baseUrl: 'http://10.0.0.1:7077' },
    ]);
  });

  test('a machine that no ramdisk runs on is told so', async () => {
    const { text } = applied({});
    expect(await text(NAME)).toMatch(/no ramdisk for uefi-x86_64 machines[\s\S]*\nexit\n$/);
  });

  test('an ARM machine loads ARM’s ramdisk; without one the log says how to build it', async () => {
    const name = NAME.replace('x86_64', 'arm64');
    const built = applied({ arm: tree }, undefined, ['ramdisk/arm64/vmlinuz']);
    expect(await built.text(name)).toContain('(tftp,10.0.0.1)/ramdisk/arm64/initrd');
    expect(built.warned).toEqual([]);
    const without = applied({ arm: tree }, undefined, ['ramdisk/x86_64/vmlinuz']);
    expect(await without.text(name)).toContain('no ramdisk for uefi-arm64 machines');
    expect(without.warned).toEqual([expect.stringContaining('`overdub ramdisk build --arch arm64`')]);
  });

  test('the disk’s turn: GRUB gives way; a silent one has none', async () => {
    expect(await applied({}, { machine: undefined, plan: { kind: 'local' } }).text(NAME)).toBe('exit\n');
    const silent = { kind: 'silent', reason: 'rejected' } as const;
    expect(await applied({}, { machine: undefined, plan: silent }).text(NAME)).toBeUndefined();
  });

  test.each([
    `grub/machine/10.0.0.1/i386/${MAC}.cfg`,
    `grub/machine/300.0.0.1/x86_64/${MAC}.cfg`,
    `grub/machine/10.0.0.1;halt/x86_64/${MAC}.cfg`,
    'grub/machine/10.0.0.1/x86_64/01:00:00:00:00:01:02.cfg',
    'grub/machine/10.0.0.1/x86_64/.cfg',
    `grub/machine/x86_64/${MAC}.cfg`,
  ])('%s is not served, and the core is not asked', async (name) => {
    const { text, asked } = applied({});
    expect(await text(name)).toBeUndefined();
    expect(asked).toEqual([]);
  });
});
