import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ControllerFacts, Machine } from '../domain/machine.ts';
import { type ControllerDeps, controllers } from './controller-facts.ts';
import { acceptedMachine, type Ground, newGround, newWorld, type World } from './fixture.ts';

const MAC = '52:54:00:00:00:01';
let ground: Ground;
let world: World;
let said: ControllerFacts | Error | undefined;
let asked: number;
let warned: unknown[];
let readmitted: string[];

beforeEach(async () => {
  ground = await newGround();
  world = await newWorld(ground);
  [said, asked, warned, readmitted] = [undefined, 0, [], []];
});
afterEach(async () => {
  await world.close();
  await ground.clear();
});

const deps = (): ControllerDeps => ({
  catalogue: world.catalogue,
  clock: world.clock,
  log: { debug() {}, info() {}, error() {}, warn: (_fields: object, line: string) => void warned.push(line) },
  power: {
    perform: () => Promise.reject(new Error('not asked')),
    bootFromNetwork: () => Promise.reject(new Error('not asked')),
    facts: async () => {
      asked += 1;
      if (said instanceof Error) throw said;
      return said;
    },
  },
  readmit: async (machine) => {
    readmitted.push(machine.name);
    return machine;
  },
});
const ask = (machine: Machine) => controllers(deps()).ask(machine, AbortSignal.timeout(1000));
const machine = async () => {
  await acceptedMachine(world, MAC);
  return world.control.getMachine(MAC);
};

it('keeps what a controller says, checked and with its time', async () => {
  said = {
    vendor: ' Contoso ',
    serial: '',
    uuid: '00000000-0000-0000-0000-000000000000',
    mac: 'AA-BB-CC-00-00-01',
    watts: 170.4,
  };
  await ask(await machine());
  expect((await world.control.getMachine(MAC)).controller).toEqual({
    vendor: 'Contoso',
    mac: 'aa:bb:cc:00:00:01',
    watts: 170,
    at: expect.stringMatching(/^\d{4}-/),
  });
});

it('notes once that no driver can say anything, and forgets nothing for it', async () => {
  const noted = await ask(await machine());
  expect(noted.controller).toEqual({ at: expect.stringMatching(/^\d{4}-/) });
  expect(await ask(noted)).toBe(noted);
  said = { serial: '1' };
  const known = await ask(noted);
  said = undefined;
  expect(await ask(known)).toBe(known);
});

it('has a machine admitted with every answer, and with the first silence', async () => {
  const noted = await ask(await machine());
  await ask(noted);
  expect(readmitted).toEqual([noted.name]);
  said = { serial: '1' };
  await ask(noted);
  expect(readmitted).toEqual([noted.name, noted.name]);
});

it('asks for a machine that is seen once an hour; a failure costs a line in the log, and the next time it is asked again', async () => {
  said = new Error('unreachable');
  const seen = await machine();
  const { inquire } = controllers(deps());
  for (let n = 0; n < 3; n++) inquire(seen);
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect([asked, warned]).toEqual([1, [expect.stringMatching(/does not say what it is; asked again/)]]);
  inquire(seen);
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(asked).toBe(2);
  said = { serial: '1' };
  for (let n = 0; n < 3; n++) inquire(seen);
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(asked).toBe(3);
});
