/** What layers add up to: later ones replace, whiteouts remove (OCI image-spec, layer.md). */

import { OverdubError } from '@overdub/core/agent';
import { cleanPath, type Placed, resolveInside } from './image-paths.ts';
import { REMEDY } from './tar-format.ts';
import type { TarMember } from './tar-members.ts';

/** A member of a layer, by its place: the data of a second pass. */
export type MemberKey = `${number}:${number}`;

interface Node {
  /** Layer that put it there last. */
  layer: number;
  /** Directories only. */
  readonly children?: Map<string, Node>;
  /** Member that describes it; undefined for a directory that no layer lists. Hard links share their first's. */
  member?: MemberKey;
  readonly symlink?: string;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

export class LayerTree {
  readonly #root: Node = { layer: 0, children: new Map() };

  /** Takes a member of a layer; layers in order, members in theirs. */
  add(member: TarMember, layer: number, ordinal: number): void {
    const path = cleanPath(member.path);
    if (path === '') {
      if (member.type === 'directory') Object.assign(this.#root, { layer, member: `${layer}:${ordinal}` });
      return;
    }
    const resolved = this.#resolve(path);
    const [parent, name] = [resolved.slice(0, -1), resolved.at(-1) as string];
    if (name === OPAQUE) removeLower(this.#directory(parent, layer), layer);
    else if (name.startsWith(`${WHITEOUT}${WHITEOUT}`)) return;
    else if (name.startsWith(WHITEOUT))
      this.#whiteout(this.#directory(parent, layer), name.slice(WHITEOUT.length), layer);
    else this.#place(this.#directory(parent, layer), name, member, layer, `${layer}:${ordinal}`);
  }

  /** Paths that each member ends up at: none (replaced or removed), one, or more (hard links). */
  survivors(): { byMember: Map<MemberKey, string[]>; implied: string[] } {
    const byMember = new Map<MemberKey, string[]>();
    const implied: string[] = [];
    const visit = (node: Node, path: string): void => {
      if (node.member === undefined) implied.push(path);
      else byMember.set(node.member, [...(byMember.get(node.member) ?? []), path]);
      for (const [name, child] of node.children ?? []) visit(child, path === '' ? name : `${path}/${name}`);
    };
    visit(this.#root, '');
    return { byMember, implied };
  }

  #resolve(path: string): string[] {
    return resolveInside(path, (at) => placed(this.#find(at.split('/')))).split('/');
  }

  #find(names: readonly string[]): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of names) node = node?.children?.get(name);
    return node;
  }

  #directory(names: readonly string[], layer: number): Node {
    let node = this.#root;
    for (const name of names) {
      let child = node.children?.get(name);
      if (child === undefined) {
        child = { layer, children: new Map() };
        node.children?.set(name, child);
      }
      node = child;
    }
    return node;
  }

  #whiteout(directory: Node, name: string, layer: number): void {
    const node = directory.children?.get(name);
    if (node === undefined) return;
    if (node.children !== undefined) removeLower(node, layer);
    const stays = node.layer === layer || (node.children?.size ?? 0) > 0;
    if (!stays) directory.children?.delete(name);
  }

  #place(directory: Node, name: string, member: TarMember, layer: number, key: MemberKey): void {
    const there = directory.children?.get(name);
    if (member.type === 'directory') {
      if (there?.children !== undefined) Object.assign(there, { layer, member: key });
      else directory.children?.set(name, { layer, children: new Map(), member: key });
    } else if (member.type === 'hardlink') {
      directory.children?.set(name, { ...this.#linked(member), layer });
    } else {
      const symlink = member.type === 'symlink' ? { symlink: member.target ?? '' } : {};
      directory.children?.set(name, { layer, member: key, ...symlink });
    }
  }

  #linked(member: TarMember): Node {
    const target = cleanPath(member.target ?? '');
    const node = target === '' ? undefined : this.#find(this.#resolve(target));
    if (node !== undefined && node.children === undefined) return node;
    throw new OverdubError(
      'IMAGE_INVALID',
      `The entry ${JSON.stringify(member.path)} is a hard link to ${JSON.stringify(member.target)}, which no layer holds.`,
      REMEDY,
    );
  }
}

function placed(node: Node | undefined): Placed | undefined {
  if (node === undefined) return undefined;
  if (node.symlink !== undefined) return { kind: 'symlink', target: node.symlink };
  return { kind: node.children === undefined ? 'other' : 'directory' };
}

/** Removes what lower layers put into a directory; what this layer put there stays. */
function removeLower(directory: Node, layer: number): void {
  for (const [name, child] of directory.children ?? []) {
    if (child.children !== undefined) removeLower(child, layer);
    if (child.layer < layer && (child.children?.size ?? 0) === 0) directory.children?.delete(name);
  }
}
