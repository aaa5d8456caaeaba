import { OverdubError } from '../errors.ts';
import { HOOK_NAMES, type HookName, type HookTaps } from '../hooks/hooks.ts';
import { tapGroups } from '../hooks/tap-groups.ts';

/** Asked at every tap and every call of a tap. */
export interface TapGuard {
  /** Taps are made in `apply` only, so that `config check` sees all of them. */
  mayTap(): boolean;
  /** A failed or stopped plugin answers "not mine". */
  mayAnswer(): boolean;
}

type AnyTap = { tap(handler: (input: unknown) => unknown, options?: unknown): void };

/** The same frozen groups, obeying the guard. */
export function guardTaps(plugin: string, taps: HookTaps, guard: TapGuard): HookTaps {
  return tapGroups(plugin, HOOK_NAMES, (name) => guardOne(plugin, name, tapOf(taps, name), guard));
}

function tapOf(taps: HookTaps, name: HookName): AnyTap {
  const [group, verb] = name.split('.') as [string, string];
  return (taps as unknown as Record<string, Record<string, AnyTap>>)[group]?.[verb] as AnyTap;
}

function guardOne(plugin: string, name: string, hook: AnyTap, guard: TapGuard): AnyTap {
  return {
    tap(handler: (input: unknown) => unknown, options?: unknown): void {
      if (!guard.mayTap()) {
        throw new OverdubError(
          'PLUGIN_FAILED',
          `${plugin} taps ${name} outside apply().`,
          'Tap in apply(); what is not ready yet can be awaited inside the tap.',
          { plugin, hook: name },
        );
      }
      hook.tap(
        typeof handler === 'function' ? (input) => (guard.mayAnswer() ? handler(input) : undefined) : handler,
        options,
      );
    },
  };
}
