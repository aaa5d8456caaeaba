#!/usr/bin/busybox sh
# Called by udhcpc for each change of a lease.

# Several interfaces may each bring a default route: the first one found is preferred.
metric=$((100 + $(cat "/sys/class/net/$interface/ifindex")))

case $1 in
deconfig)
    rm -f "/run/lease/$interface"
    # IPv6 is not its business, and without a link-local address there is none.
    ip -4 addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    ip addr replace "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface" metric "$metric" && break
    done
    if [ -n "$dns" ]; then
        {
            [ -n "$domain" ] && echo "search $domain"
            for server in $dns; do echo "nameserver $server"; done
        } >/etc/resolv.conf
    fi
    case $hostname in
    '' | *[!A-Za-z0-9-]*) ;;
    *) echo "$hostname" >/run/hostname ;;
    esac
    echo "$ip on $interface" >"/run/lease/$interface"
    ;;
esac
