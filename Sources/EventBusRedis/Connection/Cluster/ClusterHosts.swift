import ConnectionThread
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

    /// Returns the addresses of all hosts that can be resolved in time. It blocks.
    func resolve(
        _ lookup: @escaping RedisConnection.AddressLookup,
        until deadline: MonotonicTime
    ) throws(EventBusError) -> [SocketAddress] {
        var addresses: [SocketAddress] = []
        var failure: EventBusError?
        // In any order, so that the processes of a fleet do not all connect to the same node.
        let hosts = known.withLock { $0 }.shuffled() + configured
        let found = callDetached(
            for: hosts,
            threadName: "redis-resolve",
            until: deadline,
            patience: .milliseconds(500)
        ) { host throws(EventBusError) in try lookup(host.host, host.port, false) }
        for result in found {
            do throws(EventBusError) {
                for address in try result?.get() ?? [] where !addresses.contains(address) {
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
