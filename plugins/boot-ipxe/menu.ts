/** The menu with which scripts may begin, for whoever stands at the machine. */

import { type Static, Type } from 'typebox';

/** Below half a nonce's lifetime: a machine that nobody touches must still find its session. */
const MAX_SECONDS = 600;

export const MenuOptions = Type.Object(
  {
    seconds: Type.Integer({
      minimum: 1,
      maximum: MAX_SECONDS,
      description: 'How long it waits for a key before it goes on with what the appliance decided.',
    }),
  },
  {
    additionalProperties: false,
    description:
      'Scripts begin with a menu: what the appliance decided, the local disk, an iPXE shell, a reboot. Default: none.',
  },
);

export type MenuOptions = Static<typeof MenuOptions>;

/** What a script's labels are called that the menu may choose; `shell` and `reboot` are the menu's own. */
export type Choice = 'ramdisk' | 'disk';

const TITLES: Readonly<Record<Choice, string>> = {
  ramdisk: 'Overdub: the ramdisk',
  disk: 'The local disk',
};

/**
 * Lines that go to the label chosen, or to the first of `choices` when time runs out, somebody presses Escape, or this
 * iPXE has no console. The script must have a label for each choice, and `again`, where its machine asks anew: a shell
 * may have taken longer than the nonce lasts.
 */
export function menuLines({ seconds }: MenuOptions, choices: readonly [Choice, ...Choice[]]): string[] {
  const [first] = choices;
  return [
    'menu Overdub',
    ...choices.map((choice) => `item ${choice} ${TITLES[choice]}`),
    'item shell iPXE shell',
    'item reboot Reboot',
    `choose --default ${first} --timeout ${seconds * 1000} chosen || set chosen ${first}`,
    `goto \${chosen}`,
    ':shell',
    'echo Overdub: exit leaves the shell',
    'shell ||',
    'goto again',
    ':reboot',
    'reboot',
  ];
}
