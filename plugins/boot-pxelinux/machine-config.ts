/** `pxelinux.cfg/01-<mac>`: the configuration of one boot of one machine. */

import type { Artifact, BootAnswer, BootRequest, Log, NetbootService } from '@overdub/core/agent';
import { textArtifact } from '@overdub/lib-boot';
import { localConfig, noRamdiskConfig, RAMDISK } from './scripts.ts';

/** What configurations are made with; `netboot` and `httpPort` are asked at each request. */
export interface ConfigDeps {
  netboot(): NetbootService;
  httpPort(): number;
  readonly log: Log;
}

/** `undefined` for machines that get nothing. */
export async function machineConfig(
  mac: string,
  address: string,
  deps: ConfigDeps,
): Promise<Artifact | undefined> {
  const baseUrl = `http://${address}:${deps.httpPort()}`;
  const request: BootRequest = { mac, arch: 'bios-x86', client: 'pxelinux', stage: 'script', baseUrl };
  const answer = await deps.netboot().answer(request);
  deps.log.info({ mac, plan: answer.plan.kind }, 'PXELINUX asks for its configuration');
  const text = await textOf(answer, mac, deps);
  return text === undefined ? undefined : textArtifact(text);
}

async function textOf(
  { plan, rendered }: BootAnswer,
  mac: string,
  { netboot, log }: ConfigDeps,
): Promise<string | undefined> {
  if (plan.kind === 'local') return localConfig();
  if (plan.kind !== 'ramdisk' || rendered?.kind !== 'script') return undefined;
  if ((await netboot().artifact(RAMDISK.kernel)) !== undefined) return rendered.text;
  log.warn({ mac }, 'there is no ramdisk for it: run `overdub ramdisk build`');
  return noRamdiskConfig();
}
