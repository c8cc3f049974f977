#!/usr/bin/env bash
# Makes an authority and a certificate for each member of an etcd cluster.
set -euo pipefail

usage() {
  cat <<'END'
Usage: examples/deploy/etcd/certificates.sh FOLDER MEMBER=ADDRESS...

Writes FOLDER/ca.pem, and FOLDER/MEMBER.pem and FOLDER/MEMBER.key for each member, good for its name, its address (a number) and
this machine's own (127.0.0.1). What is there already stays as it is, so that a member can be added later.

  examples/deploy/etcd/certificates.sh pki etcd1=10.0.0.1 etcd2=10.0.0.2 etcd3=10.0.0.3

Nodes and load balancers need ca.pem alone. FOLDER/ca.key makes new members: keep it off all machines of the cluster.
END
}

case ${1-} in
  '') usage >&2; exit 1 ;;
  -h | --help) usage; exit 0 ;;
esac
folder=$1
shift
[ $# -gt 0 ] || { usage >&2; exit 1; }

umask 077
mkdir -p "$folder"
cd "$folder"
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
days=1825

if [ ! -e ca.pem ]; then
  openssl req -x509 "${key[@]}" -days $days -subj "/CN=authority of serverledge's etcd" -keyout ca.key -out ca.pem
fi
for member in "$@"; do
  name=${member%%=*} address=${member#*=}
  [[ $member == *=* && $name =~ ^[A-Za-z0-9.-]+$ && $address =~ ^[0-9a-f.:]+$ ]] ||
    { echo "certificates: '$member' is not MEMBER=ADDRESS, e.g. etcd1=10.0.0.1" >&2; exit 1; }
  [ ! -e "$name.pem" ] || continue
  # Members are clients of each other, too.
  names="subjectAltName=DNS:$name,DNS:localhost,IP:$address,IP:127.0.0.1
extendedKeyUsage=serverAuth,clientAuth"
  openssl req "${key[@]}" -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
  openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days $days -extfile <(echo "$names") -out "$name.pem"
  rm "$name.csr"
done
