import type { BootRequest, PluginContext } from '@overdub/core';
import { Check } from 'typebox/value';
import { describe, expect, test } from 'vitest';
import { renderRequest } from '../lib-boot/testing/index.ts';
import http from './index.ts';
import { HttpOptions } from './options.ts';
import { renderBoot } from './render.ts';

const request = (more: Partial<BootRequest>, labels = {}) =>
  renderRequest({ client: 'http', ...more }, labels);

function applied(options: HttpOptions, served: readonly string[] = ['ipxe/ipxe.efi']) {
  const ctx = {
    hooks: { boot: { render: { tap() {} } } },
    netboot: { artifact: async (name: string) => (served.includes(name) ? {} : undefined) },
  } as unknown as PluginContext;
  const { definition } = http(options);
  return { definition, ctx, apply: () => definition.apply(ctx, options) };
}

test('the plugin is named like its folder, and needs who speaks DHCP', () => {
  const { definition, apply } = applied({});
  expect([definition.name, definition.requires]).toEqual(['boot-http', ['boot-pxe']]);
  expect(apply()).toBeUndefined();
});

test.each<[unknown, boolean]>([
  [{}, true],
  [{ files: { x86: 'ipxe/snponly.efi', arm: 'ours/arm.efi' }, url: 'https://cache.lan' }, true],
  [{ files: { x86: '/etc/passwd' } }, false],
  [{ files: { x86: '../x.efi' } }, false],
  [{ files: { mips: 'x.efi' } }, false],
  [{ url: 'http://cache.lan/path' }, false],
  [{ url: 'ftp://cache.lan' }, false],
])('options %j are valid: %s', (options, valid) => expect(Check(HttpOptions, options)).toBe(valid));

describe('render', () => {
  test.each<[string, Partial<BootRequest>, HttpOptions, Record<string, string>, string | undefined]>([
    ['UEFI x86-64', {}, {}, {}, 'http://10.0.0.1:7077/boot/ipxe/ipxe.efi'],
    [
      'a file of its own choice',
      {},
      { files: { x86: 'ipxe/snponly.efi' } },
      {},
      'http://10.0.0.1:7077/boot/ipxe/snponly.efi',
    ],
    ['a cache in front', {}, { url: 'http://cache.lan:80' }, {}, 'http://cache.lan:80/boot/ipxe/ipxe.efi'],
    ['arm64 without a file', { arch: 'uefi-arm64' }, {}, {}, undefined],
    [
      'arm64 with one',
      { arch: 'uefi-arm64' },
      { files: { arm: 'a.efi' } },
      {},
      'http://10.0.0.1:7077/boot/a.efi',
    ],
    ['a PXE client', { client: 'pxe' }, {}, {}, undefined],
    ['a machine that boots through GRUB', {}, {}, { loader: 'grub' }, undefined],
  ])('%s', (_, more, options, labels, name) =>
    expect(renderBoot(request(more, labels), options)).toEqual(name && { kind: 'file', name }),
  );

  test('a base URL that would break out is refused', () => {
    expect(() => renderBoot(request({ baseUrl: 'http://x y' }), {})).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
    expect(() => applied({ url: 'http://a:99999' }).apply()).toThrow(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });
});

test('a file that nobody serves fails the start, and is named', async () => {
  const { definition, ctx } = applied({});
  await expect(definition.start?.(ctx, {})).resolves.toBeUndefined();
  await expect(definition.start?.(ctx, { files: { arm: 'ours/arm.efi' } })).rejects.toMatchObject({
    code: 'PREREQUISITE_MISSING',
    message: expect.stringMatching(/no plugin serves ours\/arm\.efi, so no uefi-arm64 machine/),
  });
});
