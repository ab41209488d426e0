import Dispatch
import Foundation

/// A gate for threads, which block at it until it is open.
final class DispatchGate: Sendable {
    private let group = DispatchGroup()

    init() { group.enter() }
    func open() { group.leave() }
    func wait() { group.wait() }
}

/// Runs `body` on a separate thread. The gate opens when it has ended.
func onOwnThread(_ body: @escaping @Sendable () -> Void) -> DispatchGate {
    let done = DispatchGate()
    Thread {
        body()
        done.open()
    }.start()
    return done
}
