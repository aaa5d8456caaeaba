/** For tests of plugins that render boot plans: requests, a core that answers as told, and trees of packages. */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type {
  Artifact,
  BootAnswer,
  BootRequest,
  HookTaps,
  Machine,
  PluginContext,
  PluginDefinition,
  RenderedBoot,
  RenderRequest,
} from '@overdub/core';
import { collectBytes } from '@overdub/core/testing';
import type { Static, TSchema } from 'typebox';

export const MAC = '52:54:00:00:00:01';
export const PLAN = { kind: 'ramdisk', kernelArguments: ['console=tty0'], nonce: 'Abc_-9' } as const;

const REQUEST: BootRequest = {
  mac: MAC,
  arch: 'uefi-x86_64',
  client: 'pxe',
  baseUrl: 'http://10.0.0.1:7077',
};

/** What a plugin is asked to render for a UEFI machine by PXE, or as said. */
export function renderRequest(
  more: Partial<BootRequest> = {},
  labels: Readonly<Record<string, string>> = {},
): RenderRequest {
  return { request: { ...REQUEST, ...more }, machine: { labels } as unknown as Machine, plan: PLAN };
}

/** The core as it answers every request, having the plan rendered: `renderBoot` of a plugin, with its options. */
export function planRenderedBy<O>(
  renderBoot: (input: RenderRequest, options: O) => RenderedBoot | undefined,
  options: O,
): (request: BootRequest) => BootAnswer {
  return (request) => {
    const rendered = renderBoot({ ...renderRequest(), request }, options);
    return { machine: undefined, plan: PLAN, ...(rendered && { rendered }) };
  };
}

interface Core {
  readonly answer?: (request: BootRequest) => BootAnswer;
  /** What other plugins have under a name. */
  readonly artifact?: (name: string) => Promise<Artifact | undefined>;
}

interface Taps {
  readonly render: (input: RenderRequest) => RenderedBoot | undefined;
  readonly artifact: (input: { name: string }) => Promise<Artifact | undefined>;
}

/** Applies a plugin: what it tapped, asked the core and warned of, and the text of an artifact of its own. */
export function applyBootPlugin<S extends TSchema>(
  { definition }: { readonly definition: PluginDefinition<S> },
  options: Static<S>,
  { answer, artifact = async () => undefined }: Core = {},
) {
  const taps: Partial<Taps> = {};
  const stages: Partial<Record<keyof Taps, number>> = {};
  const asked: BootRequest[] = [];
  const warned: string[] = [];
  const tapTo = (name: keyof Taps) => ({
    tap(handler: never, { stage = 0 }: { stage?: number } = {}) {
      Object.assign(taps, { [name]: handler });
      stages[name] = stage;
    },
  });
  const ctx = {
    hooks: { boot: { render: tapTo('render'), artifact: tapTo('artifact') } } as unknown as HookTaps,
    log: { debug() {}, info() {}, warn: (_: object, line: string) => warned.push(line), error() {} },
    http: { port: 7077 },
    netboot: {
      answer: async (request: BootRequest) => {
        asked.push(request);
        return answer?.(request) ?? { machine: undefined, plan: PLAN };
      },
      artifact,
    },
  } as unknown as PluginContext;
  const contributions = definition.apply(ctx, options);
  return {
    definition,
    ctx,
    contributions,
    taps: taps as Taps,
    stages,
    asked,
    warned,
    async text(name: string): Promise<string | undefined> {
      const found = await taps.artifact?.({ name });
      return found && String(await collectBytes(found.read()));
    },
  };
}

/** `usr/lib/shim` and `usr/lib/grub` as Debian's packages have them; each file holds its own name. */
export function putSignedGrub(tree: string, debian: string, uefi: string): Promise<void> {
  return putFiles(tree, [
    `usr/lib/shim/shim${uefi}.efi.signed`,
    `usr/lib/shim/mm${uefi}.efi.signed`,
    `usr/lib/grub/${debian}-efi-signed/grubnet${uefi}.efi.signed`,
  ]);
}

/** `usr/lib/PXELINUX` and `usr/lib/syslinux`, likewise. */
export function putPxelinux(tree: string): Promise<void> {
  return putFiles(tree, [
    'usr/lib/PXELINUX/lpxelinux.0',
    'usr/lib/PXELINUX/pxelinux.0',
    ...['ldlinux', 'libcom32', 'reboot', 'menu'].map((name) => `usr/lib/syslinux/modules/bios/${name}.c32`),
  ]);
}

async function putFiles(tree: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    await mkdir(path.join(tree, path.dirname(file)), { recursive: true });
    await writeFile(path.join(tree, file), `<${path.basename(file)}>`);
  }
}
