/** `pxelinux.cfg/01-<mac>` and `session/01-<mac>.cpio`: what is another one for each boot of each machine. */

import type { Artifact, BootAnswer, BootRequest, Log, NetbootService } from '@overdub/core/agent';
import { isServed, textArtifact } from '@overdub/lib-boot';
import { localConfig, noRamdiskConfig, RAMDISK } from './scripts.ts';

/** What both are made with; `netboot` and `httpPort` are asked at each request. */
export interface ConfigDeps {
  netboot(): NetbootService;
  httpPort(): number;
  readonly log: Log;
}

/** Its configuration; `undefined` for machines that get nothing. */
export async function machineConfig(
  mac: string,
  address: string,
  deps: ConfigDeps,
): Promise<Artifact | undefined> {
  const answer = await deps.netboot().answer(requestOf(mac, address, deps));
  deps.log.info({ mac, plan: answer.plan.kind }, 'PXELINUX asks for its configuration');
  const text = await textOf(answer, mac, deps);
  return text === undefined ? undefined : textArtifact(text);
}

/**
 * Its session, with a nonce of its own at each request. As with iPXE's script, a MAC address is all that is asked for.
 * `undefined` for machines that are not to boot the ramdisk.
 */
export async function machineSession(
  mac: string,
  address: string,
  deps: ConfigDeps,
): Promise<Artifact | undefined> {
  const { plan } = await deps.netboot().answer(requestOf(mac, address, deps));
  return plan.kind === 'ramdisk' ? deps.netboot().artifact(`session/${plan.nonce}.cpio`) : undefined;
}

function requestOf(mac: string, address: string, { httpPort }: ConfigDeps): BootRequest {
  const baseUrl = `http://${address}:${httpPort()}`;
  return { mac, arch: 'bios-x86', client: 'pxelinux', stage: 'script', baseUrl };
}

async function textOf(
  { plan, rendered }: BootAnswer,
  mac: string,
  { netboot, log }: ConfigDeps,
): Promise<string | undefined> {
  if (plan.kind === 'local') return localConfig();
  if (plan.kind !== 'ramdisk' || rendered?.kind !== 'script') return undefined;
  if (await isServed(netboot(), RAMDISK.kernel)) return rendered.text;
  log.warn({ mac }, 'there is no ramdisk for it: run `overdub ramdisk build`');
  return noRamdiskConfig();
}
