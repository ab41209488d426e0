import Testing

@testable import EventBus

@Suite("Bus lifecycle", .timeLimit(.minutes(1)))
struct BusLifecycleTests {
    @Test("A publish waits before the start, goes while running, and is refused after")
    func admission() {
        var lifecycle = BusLifecycle()
        #expect(lifecycle.admitPublish(fromHandler: false) == .wait)
        #expect(lifecycle.start() == true)
        #expect(lifecycle.admitPublish(fromHandler: false) == .wait)
        lifecycle.ready()
        #expect(lifecycle.admitPublish(fromHandler: false) == .proceed)
        #expect(lifecycle.beginShutdown() == .drain)
        #expect(lifecycle.admitPublish(fromHandler: false) == .refuse)
        #expect(lifecycle.admitPublish(fromHandler: true) == .proceed)
        #expect(lifecycle.inFlight == 2)
        #expect(lifecycle.publishFinished() == false)
        #expect(lifecycle.publishFinished() == true)
        lifecycle.close()
        #expect(lifecycle.admitPublish(fromHandler: true) == .refuse)
    }

    @Test("A bus starts once, and not after a shutdown")
    func starting() {
        var lifecycle = BusLifecycle()
        #expect(lifecycle.beginShutdown() == .closed)
        #expect(lifecycle.start() == false)
        #expect(lifecycle.beginShutdown() == .none)
        var second = BusLifecycle()
        #expect(second.start() == true)
        #expect(second.start() == false)
        #expect(second.beginShutdown() == .drain)
        second.ready()
        #expect(second.phase == .draining)
        #expect(second.beginShutdown() == .none)
        #expect(second.start() == false)
        #expect(!second.hasRun)
    }

    @Test("The end of a publish while handlers still work is not the end of them all")
    func flushing() {
        var lifecycle = BusLifecycle()
        _ = lifecycle.start()
        lifecycle.ready()
        _ = lifecycle.beginShutdown()
        #expect(lifecycle.admitPublish(fromHandler: true) == .proceed)
        #expect(lifecycle.publishFinished() == true)
        #expect(!lifecycle.isFlushing)
        #expect(lifecycle.admitPublish(fromHandler: true) == .proceed)
        #expect(lifecycle.beginFlush() == true)
        #expect(lifecycle.isFlushing)
        #expect(lifecycle.publishFinished() == true)
        #expect(lifecycle.beginFlush() == false)
    }
}
