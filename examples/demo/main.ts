/**
 * `npm run demo`: emulated hardware plays the whole story. Flags: `--firmware bios|uefi` (default bios), `--keep`
 * leaves it running, `--report FILE` writes it as JSON. Exits 0 only if every check held.
 */

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { createLab, type Lab } from '../../test/lab/index.ts';
import { breakIn, rollback, showDifference } from './acts/break-in.ts';
import { applianceOff, burnAndMove, deadBoxReturns } from './acts/burn.ts';
import { drift, snapshots } from './acts/drift.ts';
import { importMaster, netboot, provision } from './acts/provision.ts';
import { DemoAppliance, OVERDUB } from './appliance.ts';
import { APPLIANCE_ADDRESS, MACHINES, SERVER_ADDRESS } from './cast.ts';
import { Guest } from './guest.ts';
import { buildDemoMaster, DEMO_HOOKS, type DemoMaster, demoCacheDirectory } from './master.ts';
import { OverdubCommand } from './overdub.ts';
import { type DemoReport, Playbill } from './report.ts';
import type { Scene } from './scene.ts';

interface Flags {
  readonly firmware: 'bios' | 'uefi';
  readonly keep: boolean;
  readonly report: string | undefined;
}

async function main(): Promise<number> {
  const flags = readFlags();
  if (typeof flags === 'string') {
    console.error(`${flags}\nusage: npm run demo -- [--firmware bios|uefi] [--keep] [--report FILE]`);
    return 2;
  }
  const bill = new Playbill(flags.firmware);
  const lab = await createLab({ name: `demo-${flags.firmware}`, address: `${APPLIANCE_ADDRESS}/24` });
  const appliance = new DemoAppliance(lab);
  let report: DemoReport;
  try {
    await play(bill, lab, appliance, flags);
  } catch (error) {
    console.error(error);
    console.error(`The appliance's last words:\n${appliance.log().split('\n').slice(-30).join('\n')}`);
  } finally {
    report = await bill.close(flags.report);
    if (flags.keep && report.ok) await leave(lab, appliance);
    else await lab[Symbol.asyncDispose]();
  }
  return report.ok ? 0 : 1;
}

async function play(bill: Playbill, lab: Lab, appliance: DemoAppliance, flags: Flags): Promise<void> {
  const master = await bill.step('set the stage', async (stage) => {
    const built = await buildDemoMaster(demoCacheDirectory(), DEMO_HOOKS, stage.say);
    const { bytes } = await buildRamdisk();
    stage.check('the ramdisk is under 120 MB', bytes < 120e6, `${(bytes / 1e6).toFixed(0)} MB`);
    await appliance.start();
    stage.check('the appliance is up', true, appliance.url);
    return built;
  });
  const scene = await setScene(lab, appliance, master, flags);
  await bill.step('import the master', (stage) => importMaster(scene, stage));
  await bill.step('naked machines netboot', (stage) => netboot(scene, stage));
  await bill.step('a machine becomes web-1', (stage) => provision(scene, stage));
  await bill.step('the server drifts', (stage) => drift(scene, stage));
  const good = await bill.step('it snapshots itself', (stage) => snapshots(scene, stage));
  const crime = await bill.step('the break-in', (stage) => breakIn(scene, stage));
  await bill.step('the difference', (stage) => showDifference(scene, stage, good, crime));
  await bill.step('back in time', (stage) => rollback(scene, stage, good, crime));
  await bill.step('the machine burns', (stage) => burnAndMove(scene, stage, good));
  await bill.step('the dead box returns', (stage) => deadBoxReturns(scene, stage));
  await bill.step('without the appliance', (stage) => applianceOff(scene, stage));
}

/** Built outside the lab's network, which has no way to Debian's packages. */
async function buildRamdisk(): Promise<{ readonly bytes: number }> {
  const { stdout } = await promisify(execFile)(OVERDUB, ['ramdisk', 'build', '--json']);
  return JSON.parse(stdout) as { bytes: number };
}

async function setScene(
  lab: Lab,
  appliance: DemoAppliance,
  master: DemoMaster,
  flags: Flags,
): Promise<Scene> {
  const exec: Lab['exec'] = (command, options) => lab.exec(command, options);
  const machine = (index: 0 | 1) => lab.machine({ ...MACHINES[index], firmware: flags.firmware });
  return {
    overdub: new OverdubCommand(exec, OVERDUB, appliance.url, appliance.token),
    guest: new Guest({
      exec,
      sshKey: master.sshKey,
      address: SERVER_ADDRESS,
      control: join(lab.dir, 'ssh'),
    }),
    master,
    machines: [await machine(0), await machine(1)],
    appliance,
  };
}

async function leave(lab: Lab, appliance: DemoAppliance): Promise<void> {
  await appliance.start();
  await lab.leaveRunning();
  console.log(
    `\nLeft running. Appliance: http://${lab.hostFacingAddress}:7077  OVERDUB_TOKEN=${appliance.token}`,
  );
  console.log(`Consoles and disks: ${lab.dir}`);
  console.log(`The next demo removes it, or: ip netns pids overdub-${lab.name} names its processes.`);
}

function readFlags(): Flags | string {
  try {
    const { values } = parseArgs({
      options: {
        firmware: { type: 'string', default: 'bios' },
        keep: { type: 'boolean', default: false },
        report: { type: 'string' },
      },
    });
    if (values.firmware !== 'bios' && values.firmware !== 'uefi')
      return `--firmware is bios or uefi, not ${values.firmware}`;
    return { firmware: values.firmware, keep: values.keep, report: values.report };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

// Nobody reads on (`| head`): as if interrupted. The lab clears itself away as the process ends.
process.stdout.on('error', () => process.exit(1));
process.exitCode = await main();
