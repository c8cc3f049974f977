'use strict';
// What a hostile Node.js function tries; as in main.py.
const child = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');

const given = (action) => {
  try {
    return action();
  } catch {
    return null;
  }
};
const first = (...actions) => actions.map(given).find((got) => got !== null && got !== undefined) ?? null;

const connects = (options) =>
  new Promise((resolve) => {
    const socket = net.connect(options, () => resolve(options));
    socket.on('error', () => resolve(null));
    socket.setTimeout(2000, () => resolve(null));
  });

const attempts = {
  read_password_hashes: () => first(() => fs.readFileSync('/etc/shadow', 'utf8')),
  read_files_of_the_node: (p) => first(() => fs.readdirSync(p.store), () => fs.readdirSync(p.run)),
  see_the_code_of_other_functions: () => first(() => fs.readdirSync('/.world'), () => fs.readdirSync('/.world/code')),
  write_outside_tmp: () =>
    first(...['/', '/app', '/usr', '/etc', '/dev', '/proc', '/runtime'].map((at) => () => fs.writeFileSync(`${at}/x`, 'x') ?? at)),
  see_other_processes: () => {
    const seen = fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && ![1, process.pid].includes(Number(name)));
    return seen.length > 0 ? seen : null;
  },
  look_into_its_init: () => first(() => fs.readFileSync('/proc/1/environ'), () => fs.readdirSync('/proc/1/fd')),
  become_another_user: () => first(() => process.setuid(0) ?? 'setuid', () => process.setgid(0) ?? 'setgid'),
  read_the_nodes_environment: (p) => (JSON.stringify(process.env).includes(p.secret) ? process.env : null),
  reach_the_node: (p) => connects({ host: '127.0.0.1', port: p.port }),
  have_capabilities: () =>
    fs.readFileSync('/proc/self/status', 'utf8').split('\n').find((line) => /^Cap\w+:.*[1-9a-f]/.test(line)) ?? null,
  run_without_a_filter: () => {
    const status = fs.readFileSync('/proc/self/status', 'utf8');
    return status.includes('Seccomp:\t2') && status.includes('NoNewPrivs:\t1') ? null : status;
  },
  use_descriptors_that_it_inherited: () => {
    const strange = fs
      .readdirSync('/proc/self/fd')
      .map((fd) => given(() => fs.readlinkSync(`/proc/self/fd/${fd}`)))
      .filter((target) => target !== null && !/^(\/dev\/null|socket:|pipe:|anon_inode:|\/proc\/)/.test(target));
    return strange.length > 0 ? strange : null;
  },
  make_namespaces: () => {
    const run = child.spawnSync('/usr/bin/unshare', ['-r', 'true']);
    return run.status === 0 ? 'unshare' : null;
  },
};

module.exports = async (params) => {
  if (params.attempt === 'list') return Object.keys(attempts).sort();
  return attempts[params.attempt](params);
};
