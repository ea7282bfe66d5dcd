// What manager_patch.cjs mends in NNI's remote training service, where trials run on machines reached by SSH.
//
// 1. Workers reach the manager through the SSH connection itself (a forwarded port of their own loopback address), so
//    that the manager stays closed to the network; NNI's own needs an open port that workers can reach.
// 2. A machine is connected to only if its key stands in known_hosts; NNI's own takes any key.
// 3. A machine with nni and this package is left as it is; NNI's own runs `pip install nni --upgrade` there, from the
//    internet. Without this package the machine is refused, since no trial could run there.
// 4. The server that a worker runs for its trials loads this patch too, and listens on its loopback address.
'use strict';

const { execFileSync } = require('child_process');
const net = require('net');
const os = require('os');
const path = require('path');

const INSTALL = '-m pip install nni --upgrade';
const LAUNCH = '-m nni.tools.nni_manager_scripts.launch_trial_keeper';
const HERE = 'import os, bioautoml_nni.nni_jobs as j ; print(os.path.join(list(j.__path__)[0], \'manager_patch.cjs\'))';
const KEY_TYPES = [ // of known_hosts, with the algorithms that they are used with
    ['ssh-ed25519', ['ssh-ed25519']],
    ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
    ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
    ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
    ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']],
];

function knownKeys(host, port) {
    const name = port === 22 ? host : `[${host}]:${port}`;
    const found = [];
    for (const file of [path.join(os.homedir(), '.ssh', 'known_hosts'), '/etc/ssh/ssh_known_hosts']) {
        try {
            const said = execFileSync('ssh-keygen', ['-F', name, '-f', file], { encoding: 'utf8', stdio: 'pipe' });
            for (const line of said.split('\n')) {
                const words = line.split(' ');
                if (words.length >= 3 && !line.startsWith('#') && !line.startsWith('@')) {
                    found.push({ type: words[1], key: words[2] });
                }
            }
        } catch (error) { // ssh-keygen ends with 1 where the file or the host is missing
            continue;
        }
    }
    return found;
}

function patchSsh(ssh2, wrap) {
    wrap(ssh2.Client.prototype, 'connect', (original) => function (config) {
        const port = config.port ?? 22;
        const known = knownKeys(config.host, port);
        const algorithms = KEY_TYPES.filter(([type]) => known.some((each) => each.type === type)).flatMap((each) => each[1]);
        if (algorithms.length === 0) {
            const place = port === 22 ? '' : `-p ${port} `;
            throw new Error(
                `${config.host}: its key is not in ~/.ssh/known_hosts; run "ssh ${place}${config.username}@${config.host}"`
                + ' once and accept it if it is right');
        }
        this.on('error', (error) => { // nobody else listens once it is connected; NNI starts the worker anew
            console.error(`SSH connection to ${config.host} lost:`, error.message);
        });
        return original.call(this, {
            ...config,
            keepaliveInterval: 15000,
            algorithms: { serverHostKey: algorithms },
            hostVerifier: (key) => known.some((each) => each.key === key.toString('base64')),
        });
    });
}

function forwarded(client, url) {
    // Resolves to the same URL at a port of the worker's loopback address that leads to the manager.
    const { port } = new URL(url);
    return new Promise((resolve, reject) => {
        client.forwardIn('127.0.0.1', 0, (error, remote) => {
            if (error) {
                reject(new Error(`the SSH server forwards no ports (AllowTcpForwarding): ${error.message}`));
                return;
            }
            client.on('tcp connection', (info, accept) => {
                if (info.destPort !== remote) {
                    return;
                }
                const stream = accept();
                const socket = net.connect(Number(port), process.env.BIOAUTOML_NNI_HOST || '127.0.0.1');
                for (const [one, other] of [[stream, socket], [socket, stream]]) {
                    one.on('error', () => other.destroy());
                    one.on('close', () => other.destroy());
                    one.pipe(other);
                }
            });
            const moved = new URL(url);
            moved.hostname = '127.0.0.1';
            moved.port = String(remote);
            resolve(moved.toString());
        });
    });
}

function patchWorker(prototype, wrap) {
    wrap(prototype, 'launchTrialKeeperDaemon', (original) => async function () {
        this.channelUrl = await forwarded(this.ssh.client, this.channelUrl);
        return original.call(this);
    });
}

function patchCommands(prototype, wrap) {
    wrap(prototype, 'run', (original) => async function (command) {
        const python = command.split(' ')[0];
        if (command.endsWith(INSTALL)) {
            const found = await this.exec(`${python} -c "import nni, bioautoml_nni"`);
            if (found.code !== 0) {
                const last = found.stderr.trim().split('\n').pop();
                throw new Error(
                    `${this.config.host}: ${python} there has no bioautoml-nni (${last}); install it, or name the folder`
                    + ' of the right python in pythonPath');
            }
            return '';
        }
        if (command.includes(LAUNCH)) {
            const file = (await original.call(this, `${python} -c "${HERE}"`)).trim();
            return original.call(this, `NODE_OPTIONS='--require="${file}"' ${command}`);
        }
        return original.call(this, command);
    });
}

module.exports = function patch(exported, wrap) {
    const own = (name) => Object.getOwnPropertyDescriptor(exported, name)?.value?.prototype;
    if (own('Client')?.forwardIn) {
        patchSsh(exported, wrap);
    }
    if (own('Worker')?.launchTrialKeeperDaemon) {
        patchWorker(own('Worker'), wrap);
    }
    if (own('Ssh')?.writeFile) {
        patchCommands(own('Ssh'), wrap);
    }
};
