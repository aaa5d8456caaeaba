/** Act one: naked machines netboot, are held, one is accepted and becomes the server. */

import type { Machine, Operation, Server } from '@overdub/core';
import { DEFACED_PAGE, MASTER, SERVER, SERVER_ADDRESS } from '../cast.ts';
import { movedBytes } from '../overdub.ts';
import type { Stage } from '../report.ts';
import type { Scene } from '../scene.ts';

export async function importMaster(scene: Scene, stage: Stage): Promise<void> {
  const operation = await scene.overdub.json<Operation>(
    stage.say,
    'master',
    'import',
    MASTER,
    scene.master.tar,
  );
  stage.check('master imported', operation.state === 'done', `${MASTER}@1`);
}

export async function netboot(scene: Scene, stage: Stage): Promise<void> {
  for (const machine of scene.machines) await machine.powerOn();
  stage.say('two naked machines are switched on');
  for (const machine of scene.machines) {
    const seen = await scene.guest.eventually(
      `${machine.name} in the ramdisk`,
      () => reportedFacts(scene, machine.mac),
      900_000,
    );
    const disk = seen.facts?.disks[0];
    stage.check(
      `${machine.name} netbooted and is held`,
      seen.admission === 'held',
      `${seen.facts?.cpu.cores} cores, ${disk?.transport} disk ${disk?.name}, serial ${disk?.serial}`,
    );
    await scene.overdub.quiet('machine', 'rename', machine.mac, machine.name);
  }
}

async function reportedFacts(scene: Scene, mac: string): Promise<Machine> {
  const machines = await scene.overdub.quiet<Machine[]>('machine', 'list');
  const machine = machines.find((candidate) => candidate.macs.includes(mac));
  if (machine?.facts === undefined) throw new Error(`${mac} has not reported yet`);
  return machine;
}

export async function provision(scene: Scene, stage: Stage): Promise<void> {
  const [first] = scene.machines;
  await scene.overdub.json(stage.say, 'machine', 'accept', first.name);
  // Emulated, kexec takes 70 to 85 s, half of it checksums over kernel and ramdisk; power-on to ramdisk takes 32.
  await scene.overdub.json(stage.say, 'machine', 'label', first.name, 'kexec=off');
  await scene.overdub.json(
    stage.say,
    'server',
    'create',
    SERVER,
    '--master',
    MASTER,
    '--address',
    SERVER_ADDRESS,
  );
  const operation = await scene.overdub.json<Operation>(stage.say, 'server', 'assign', SERVER, first.name);
  stage.moved(movedBytes(operation));
  stage.check('provisioned', operation.state === 'done');
  const page = await scene.guest.eventually('nginx', () => scene.guest.page());
  stage.check('nginx answers', page.includes('It works'), `http://${SERVER_ADDRESS}/`);
  await scene.guest.eventually('ssh', () => scene.guest.connect());
  const root = await scene.guest.sh('findmnt -no SOURCE,FSTYPE /');
  stage.check('runs from its own disk', root.startsWith('/dev/vda'), root);
  stage.check('has its own name', (await scene.guest.sh('hostname')) === SERVER, SERVER);
  const hash = await scene.guest.sh(`sha256sum /${DEFACED_PAGE}`);
  stage.check('the page is the master’s', hash.length > 64);
  const server = await scene.overdub.quiet<Server>('server', 'show', SERVER);
  stage.check(
    'the appliance calls it running',
    server.state === 'running',
    `generation ${server.generation}`,
  );
}
