// Does what its first argument says, with the port in its second; fails if someone is in the way.
const net = require('net')
const dgram = require('dgram')

const HERE = '127.0.0.1'
const CURED = process.env.PLANTED_CURED === '1'

const stream = port => new Promise((resolve, reject) => {
  const server = net.createServer().on('error', reject).listen(port, HERE, () => resolve(server))
})
const datagram = (port, reuseAddr = false) => new Promise((resolve, reject) => {
  const socket = dgram.createSocket({ type: 'udp4', reuseAddr }).on('error', reject)
  socket.bind(port, HERE, () => resolve(socket))
})
const close = socket => new Promise(resolve => socket.close(resolve))

async function drawn (bound) {
  const socket = await bound(0)
  const { port } = socket.address()
  await close(socket)
  return port
}

async function fixed (bound, port) {
  await close(await bound(CURED ? 0 : port))
}

async function lost (bound) {
  await close(await bound(CURED ? 0 : await drawn(bound)))
}

async function closed () {
  if (CURED) return
  const port = await drawn(stream)
  await new Promise((resolve, reject) => {
    const client = net.connect(port, HERE, () => reject(new Error('a closed port has answered')))
    client.on('error', resolve)
  })
}

async function reuse () {
  const server = await datagram(0, !CURED)
  const client = await datagram(0)
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('timed out')), 5000).unref()
    server.on('message', resolve)
    client.send('hello', server.address().port, HERE)
  })
  await close(server)
  await close(client)
}

const [mode, port] = process.argv.slice(2)
const modes = {
  'fixed-tcp': () => fixed(stream, +port),
  'fixed-udp': () => fixed(datagram, +port),
  'lost-tcp': () => lost(stream),
  'lost-udp': () => lost(datagram),
  'closed-tcp': closed,
  'reuse-udp': reuse
}
modes[mode]().catch(error => {
  console.error(String(error))
  process.exit(1)
})
