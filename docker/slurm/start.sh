#!/bin/sh
# Starts the cluster and stays with its SSH server. Variables: SSH_PORT, SLURMCTLD_PORT, SLURMD_PORT (the container
# shares the host's network, so that jobs reach a W&B server there), AUTHORIZED_KEY (the public key that may log in).
set -eu

install -d -o me -g me -m 700 /home/me/.ssh
printf '%s\n' "$AUTHORIZED_KEY" > /home/me/.ssh/authorized_keys
chown me: /home/me/.ssh/authorized_keys
install -d -o munge -g munge -m 755 /run/munge
mkdir -p /run/sshd /var/spool/slurmctld /var/spool/slurmd /var/log/slurm /etc/slurm

# No control groups: they are the host's. A requeued job starts once its first credential has run out.
echo CgroupPlugin=cgroup/v1 > /etc/slurm/cgroup.conf
cat > /etc/slurm/slurm.conf <<END
ClusterName=test
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$SLURMCTLD_PORT
SlurmdPort=$SLURMD_PORT
SlurmUser=root
AuthInfo=cred_expire=10
SchedulerParameters=sched_interval=2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=60 State=UP
END

setpriv --reuid munge --regid munge --clear-groups munged
slurmctld
slurmd
exec /usr/sbin/sshd -D -e -p "$SSH_PORT" -o ListenAddress=127.0.0.1 -o UsePAM=no
