import EventBus

/// The addresses at which a cluster can be asked for its nodes: those that it named last, and the configured ones.
final class ClusterHosts: Sendable {
    private let configured: [NodeAddress]
    private let known = Locked<[NodeAddress]>([])

    init(_ hosts: [RedisConfiguration.Host]) {
        configured = hosts.map { NodeAddress(host: $0.name, port: $0.nodePort) }
    }

    /// Replaces the addresses that the cluster named last.
    func note(_ addresses: [NodeAddress]) { known.withLock { $0 = addresses } }

    /// Returns the addresses of all hosts that can be resolved. It may block.
    func resolve(_ lookup: RedisConnection.AddressLookup) throws(EventBusError) -> [SocketAddress] {
        var addresses: [SocketAddress] = []
        var failure: EventBusError?
        // In any order, so that the processes of a fleet do not all connect to the same node.
        for host in known.withLock({ $0 }).shuffled() + configured {
            do throws(EventBusError) {
                for address in try lookup(host.host, host.port, false) where !addresses.contains(address) {
                    addresses.append(address)
                }
            } catch {
                failure = error
            }
        }
        if addresses.isEmpty, let failure { throw failure }
        return addresses
    }
}
