#!/usr/bin/busybox sh
# Process 1 of the ramdisk: finds the hardware, gets an address, keeps the agent running. Never exits.

bb=/usr/bin/busybox
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C TERM=linux

$bb mount -t proc -o nosuid,nodev,noexec proc /proc
$bb mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
$bb mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev 2>/dev/null
$bb mkdir -p /dev/pts /run /tmp /mnt /root
$bb mount -t devpts -o nosuid,noexec devpts /dev/pts
$bb mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
$bb --install -s 2>/dev/null

# Userland's /dev/console is only the last console= of the command line; people look at any of them.
consoles=$(cat /sys/class/tty/console/active 2>/dev/null)
to_consoles() {
    others=
    for tty in ${consoles% *}; do
        [ "$tty" != "${consoles##* }" ] && [ -c "/dev/$tty" ] && others="$others /dev/$tty"
    done
    tee $others >/dev/console 2>/dev/null
}
say() { echo "overdub: $*" | to_consoles; }

trap 'reboot -f' TERM
trap 'poweroff -f' USR2
trap 'halt -f' USR1
echo /sbin/modprobe >/proc/sys/kernel/modprobe
say "ramdisk started, Linux $(uname -r), $(cut -d. -f1 /proc/uptime) s after power-on of the kernel"

# A bus that a driver brings up shows further devices: repeat until nothing new is found.
coldplug() {
    seen=
    for round in 1 2 3 4 5 6; do
        found=$(find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u)
        [ "$found" = "$seen" ] && break
        seen=$found
        echo "$found" | xargs modprobe -ab 2>/dev/null
        sleep "${1:-0}"
    done
}
coldplug
for module in ext4 vfat nls_cp437 nls_ascii nls_iso8859_1 nls_utf8 efivarfs; do modprobe "$module" 2>/dev/null; done
[ -d /sys/firmware/efi/efivars ] && mount -t efivarfs -o nosuid,nodev,noexec efivarfs /sys/firmware/efi/efivars
ip link set lo up

nics() {
    for nic in /sys/class/net/*; do
        [ -e "$nic/device" ] && [ "$(cat "$nic/type")" = 1 ] && echo "${nic##*/}"
    done
}

# Each NIC asks by itself and goes on asking: spanning tree and LACP take longer than a minute.
mkdir -p /run/dhcp /run/lease
ask_for_addresses() {
    for nic in $(nics); do
        [ -e "/run/dhcp/$nic" ] && continue
        : >"/run/dhcp/$nic"
        ip link set "$nic" up
        udhcpc -i "$nic" -f -t 4 -T 2 -A 3 -s /etc/udhcpc.sh >/dev/null 2>&1 &
    done
}

# An address a line, as in `10.0.0.5 on eth0`. Those of IPv6 count where the appliance is reached by it.
addresses() {
    cat /run/lease/* 2>/dev/null
    [ -n "$by_ipv6" ] || return 0
    ip -o -6 addr show scope global |
        sed -n '/tentative/d; s/^[0-9]*: *\([^ ]*\) *inet6 \([^ /]*\).*/\2 on \1/p'
}

session() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" /overdub/session.json 2>/dev/null; }
url=$(session url)
case $url in *://\[*) by_ipv6=yes ;; *) by_ipv6= ;; esac
# Any HTTP answer will do; its Date sets a clock that is far off.
appliance_answers() {
    answer=$(timeout 5 wget -S --spider "$url/" 2>&1)
    case $answer in *HTTP/*) ;; *) return 1 ;; esac
    date=$(echo "$answer" | sed -n 's/^ *[Dd]ate: //p' | head -n 1 | tr -d '\r')
    theirs=$(date -u -D '%a, %d %b %Y %H:%M:%S' -d "${date% GMT}" +%s 2>/dev/null) || return 0
    off=$((theirs - $(date -u +%s)))
    if [ "$off" -gt 30 ] || [ "$off" -lt -30 ]; then date -u -s "@$theirs" >/dev/null; fi
    return 0
}

if [ -z "$url" ]; then
    say "no appliance: /overdub/session.json is missing. Boot this ramdisk from an Overdub appliance."
    while :; do sleep 3600; done
fi

# Beside what the router's advertisements give, which the kernel sees to.
if [ -n "$by_ipv6" ]; then
    { until /usr/bin/node /overdub/dhcp6.mjs 2>&1; do sleep 5; done; } | to_consoles &
fi

next_word=0
while :; do
    ask_for_addresses
    now=$(cut -d. -f1 /proc/uptime)
    have=$(addresses)
    if [ -n "$have" ] && appliance_answers; then break; fi
    if [ "$now" -ge "$next_word" ]; then
        next_word=$((now + 15))
        if [ -z "$(nics)" ]; then
            say "no network interface found (no driver for it?); still looking"
            coldplug 1
        elif [ -z "$have" ]; then
            say "no address yet; asking on: $(for n in $(nics); do echo "$n(link $(cat /sys/class/net/$n/carrier 2>/dev/null))"; done | tr '\n' ' ')"
        else
            say "have $(echo "$have" | tr '\n' ' ')but $url does not answer; still trying"
        fi
    fi
    usleep 200000
done

first=$(echo "$have" | sed -n '1s/.* on //p')
name=$(cat "/run/hostname" 2>/dev/null)
[ -n "$name" ] || name="machine-$(sed 's/://g; s/^......//' "/sys/class/net/$first/address")"
hostname "$name"
echo "127.0.0.1 localhost $name" >/etc/hosts
say "$name has $(echo "$have" | tr '\n' ' ')and reaches $url"

wait_s=1
while :; do
    began=$(cut -d. -f1 /proc/uptime)
    say "starting the agent, $began s after the kernel"
    { /usr/bin/node /overdub/loader.mjs 2>&1; echo $? >/run/agent-status; } | to_consoles
    lasted=$(($(cut -d. -f1 /proc/uptime) - began))
    [ "$lasted" -gt 60 ] && wait_s=1
    say "the agent ended with status $(cat /run/agent-status) after $lasted s; starting it again in $wait_s s"
    sleep "$wait_s"
    wait_s=$((wait_s * 2))
    [ "$wait_s" -gt 30 ] && wait_s=30
done
