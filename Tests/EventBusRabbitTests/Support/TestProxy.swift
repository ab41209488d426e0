import ConnectionThread
import EventBus
import Glibc
import Testing

/// A TCP proxy on loopback that breaks connections on demand.
final class TestProxy: Sendable {
    enum Direction: Sendable { case toBroker, toClient }

    /// The position at which a connection is cut.
    struct Cut {
        var direction: Direction
        var bytes: Int
        /// A Boolean value indicating whether bytes are counted from the first published event instead of from the
        /// beginning.
        var countsFromFirstEvent = false
    }

    struct Faults {
        var cut: Cut?
        var isFrozen = false
        var mustCut = false
        /// The methods of the broker that do not reach the client, or `nil` to forward everything.
        var swallowed: Set<FrameFilter.Method>?
    }

    private struct State {
        var faults = Faults()
        var accepted = 0
        var cuts: [ProxiedPair.Role: Int] = [:]
        var counts = FrameFilter.Counts()
    }

    let port: Int
    private let state = Locked(State())

    /// Creates a proxy that forwards connections to its port to `brokerPort`, without these methods of the broker.
    init(to brokerPort: Int, swallowing methods: Set<FrameFilter.Method>? = nil) throws {
        let listener = try listenOnLoopback()
        port = listener.port
        state.withLock { $0.faults.swallowed = methods }
        let link = Link(proxy: self)
        let problem = startDetachedThread(name: "test-proxy", stackSize: 1 << 20) {
            TestProxy.serve(listener.descriptor, brokerPort, link)
        }
        try #require(problem == 0)
    }

    /// The number of connections so far.
    var connections: Int { state.withLock { $0.accepted } }

    /// The number of connections of each role that were cut at the current number of bytes.
    var cuts: [ProxiedPair.Role: Int] { state.withLock { $0.cuts } }

    /// The number of swallowed methods.
    var swallowedMethods: Int { state.withLock { $0.counts.taken } }

    /// The number of heartbeats that the broker has sent on connections for consuming. They are counted only by a proxy
    /// that was created with a set of methods to swallow.
    var heartbeats: Int { state.withLock { $0.counts.heartbeats } }

    /// Cuts every new connection after this number of bytes in one direction, or none if `bytes` is `nil`.
    func cut(after bytes: Int?, _ direction: Direction, countingFromFirstEvent: Bool = false) {
        state.withLock { state in
            state.faults.cut = bytes.map {
                Cut(direction: direction, bytes: $0, countsFromFirstEvent: countingFromFirstEvent)
            }
            state.cuts = [:]
        }
    }

    /// Cuts all existing connections.
    func cutAll() { state.withLock { $0.faults.mustCut = true } }

    /// Forwards nothing while frozen. The peers stay connected, but receive nothing.
    func setFrozen(_ isFrozen: Bool) { state.withLock { $0.faults.isFrozen = isFrozen } }

    /// The thread's access to the proxy. It does not retain the proxy, with which the thread ends.
    private struct Link: Sendable {
        weak let proxy: TestProxy?

        func takeFaults() -> Faults? {
            proxy?.state.withLock { state in
                defer { state.faults.mustCut = false }
                return state.faults
            }
        }

        func note(_ change: (inout State) -> Void) { proxy?.state.withLock { change(&$0) } }
    }

    private static func serve(_ listener: Int32, _ brokerPort: Int, _ link: Link) {
        var pairs: [ProxiedPair] = []
        defer {
            for pair in pairs { pair.close() }
            close(listener)
        }
        while let faults = link.takeFaults() {
            if faults.mustCut {
                for pair in pairs { pair.close() }
                pairs = []
            }
            var descriptors = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
            if !faults.isFrozen {
                for pair in pairs {
                    descriptors.append(pollfd(fd: pair.client, events: Int16(POLLIN), revents: 0))
                    descriptors.append(pollfd(fd: pair.broker, events: Int16(POLLIN), revents: 0))
                }
            }
            _ = poll(&descriptors, nfds_t(descriptors.count), 5)
            if descriptors[0].revents != 0, let pair = ProxiedPair(accepting: listener, brokerPort: brokerPort) {
                link.note { $0.accepted += 1 }
                pairs.append(pair)
            }
            if faults.isFrozen { continue }
            var ended: Set<Int> = []
            for index in 0..<((descriptors.count - 1) / 2) {
                for direction in [Direction.toBroker, .toClient] where !ended.contains(index) {
                    guard descriptors[1 + index * 2 + (direction == .toBroker ? 0 : 1)].revents != 0 else { continue }
                    switch pairs[index].forward(direction, faults) {
                    case .forwarded(let counts):
                        guard counts.taken + counts.heartbeats > 0 else { continue }
                        let isConsuming = pairs[index].role == .consume
                        link.note { state in
                            state.counts.taken += counts.taken
                            if isConsuming { state.counts.heartbeats += counts.heartbeats }
                        }
                    case .ended: ended.insert(index)
                    case .cut:
                        ended.insert(index)
                        let role = pairs[index].role
                        link.note { state in
                            // A cut at another number does not count, because the number has changed meanwhile.
                            guard state.faults.cut?.bytes == faults.cut?.bytes else { return }
                            state.cuts[role, default: 0] += 1
                        }
                    }
                }
            }
            for index in ended.sorted().reversed() {
                pairs[index].close()
                pairs.remove(at: index)
            }
        }
    }
}
