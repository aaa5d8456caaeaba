/** Trees that make imagers stumble, made by the system's own tools. */

import { execFileSync } from 'node:child_process';

/** Entries of {@link nastyTree}, the root included. */
export const NASTY_COUNT = 53;

const COMMON = String.raw`
set -eu
bind() { "$NODE" -e 'require("net").createServer().listen(process.argv[1], () => process.exit())' "$1"; }
mkdir links modes nodes times names empty-dir acl
umask 022
echo linked > links/a; ln links/a links/m; ln links/a links/z
printf suid > modes/suid; chown 12:34 modes/suid; chmod 4755 modes/suid
mkdir modes/sticky modes/setgid; chmod 1777 modes/sticky; chmod 2750 modes/setgid; chown 0:50 modes/setgid
printf none > modes/none; chmod 000 modes/none
truncate -s 3M sparse; printf head | dd of=sparse conv=notrunc status=none
printf tail | dd of=sparse bs=1 seek=3145000 conv=notrunc status=none
head -c 700000 /dev/urandom > big.bin
: > zero.empty
mknod nodes/null c 1 3; mknod nodes/disk b 259 70000; mkfifo nodes/fifo; chmod 640 nodes/fifo
printf ns > times/ns; touch -d @1700000000.123456789 times/ns
printf old > times/old; touch -d @-1.000000001 times/old
ln -s nowhere times/link; touch -h -d @1600000000.5 times/link; chown -h 5:6 times/link
printf x > "names/$(printf 'latin-\351')"; printf x > "names/with space"; printf x > "names/$(printf 'new\nline')"
printf x > names/ümläut; printf x > names/😀; printf x > 'names/a.b'; mkdir names/a; printf x > names/a/b
printf x > "names/$(printf '\377\376')"; printf x > names/-rf; printf x > 'names/*'
ln -s "$(printf 'l%.0s' $(seq 1000))" names/long-link; ln -s "$(printf 'bad-\351')" names/bad-link
printf x > "names/$(printf 'n%.0s' $(seq 255))"
ln names/long-link names/long-link-2
printf xattr > acl/user; setfattr -n user.overdub -v 0x00ff10 acl/user; setfattr -n user.empty acl/user
printf cap > acl/cap; setcap cap_net_raw+ep acl/cap
printf acl > acl/acl; setfacl -m u:1000:rw,g:50:r acl/acl
mkdir acl/default; setfacl -d -m u:1000:rwx acl/default; printf inherits > acl/default/child
printf not > acl/default/plain; setfacl -b acl/default/plain
setfattr -n trusted.overdub -v 1 acl
d=deep; mkdir $d; for i in 1 2 3 4 5 6; do d=$d/level; mkdir $d; done; printf bottom > $d/file
touch -d @1500000000 deep/level empty-dir
bind nodes/socket
`;

/** The same names, much of it something else: directories for files, other groups of links, other metadata. */
const OTHER = `
rm -r links/z deep names/a acl/cap empty-dir; ln names/a.b links/z; printf file > deep; mkdir acl/cap empty-dir
printf inside > acl/cap/inside; printf a > names/a; printf more > empty-dir/more
bind empty-dir/socket
rm links/a; printf single > links/a; rm nodes/null; mkdir nodes/null; mkdir nodes/null/below
setfattr -x user.overdub acl/user; setfattr -n user.more -v 1 acl/user; setfacl -b acl/acl; chmod 700 modes
ln -sfn elsewhere times/link; rm sparse; ln big.bin sparse; head -c 5000 /dev/urandom > zero.empty
rm -r acl/default; ln -s /etc acl/default; chown 1:1 names; printf gone > extra; mkdir extra-dir; printf x > extra-dir/x
`;

/** Fills an empty directory. Needs root, attr, acl and libcap2-bin. */
export async function nastyTree(root: string, variant: 'plain' | 'other' = 'plain'): Promise<void> {
  const script = variant === 'plain' ? COMMON : COMMON + OTHER;
  const env = { ...process.env, NODE: process.execPath, NODE_OPTIONS: '' };
  execFileSync('bash', ['-c', script], { cwd: root, env, stdio: ['ignore', 'ignore', 'inherit'] });
}
