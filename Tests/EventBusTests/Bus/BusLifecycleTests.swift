import Testing

@testable import EventBus

@Suite("Bus lifecycle", .timeLimit(.minutes(1)))
struct BusLifecycleTests {
    @Test("A publish waits before the start, proceeds while running, and is refused afterwards")
    func admission() {
        var lifecycle = BusLifecycle()
        #expect(lifecycle.admitPublish(fromHandler: false) == .waitForRun)
        #expect(lifecycle.start() == .started)
        #expect(lifecycle.admitPublish(fromHandler: false) == .waitForSubscriptions)
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

    @Test("While the bus starts, handlers publish immediately, and others when it is open or they have waited enough")
    func starting() {
        var lifecycle = BusLifecycle()
        let opensBeforeStart = lifecycle.open()
        #expect(!opensBeforeStart)
        #expect(lifecycle.start() == .started)
        #expect(lifecycle.admitPublish(fromHandler: true) == .proceed)
        #expect(lifecycle.admitPublish(fromHandler: false) == .waitForSubscriptions)
        #expect(lifecycle.admitPublish(isPatient: false, fromHandler: false) == .proceed)
        let opens = lifecycle.open()
        #expect(opens)
        #expect(lifecycle.admitPublish(fromHandler: false) == .proceed)
        #expect(!lifecycle.hasRun)
    }

    @Test("A bus starts once and not after a shutdown, and each refusal has its own reason")
    func startingTwice() {
        var lifecycle = BusLifecycle()
        #expect(lifecycle.beginShutdown() == .closed)
        #expect(lifecycle.start() == .shutDown)
        #expect(lifecycle.beginShutdown() == .none)
        var second = BusLifecycle()
        #expect(second.start() == .started)
        #expect(second.start() == .alreadyStarted)
        #expect(second.beginShutdown() == .drain)
        second.ready()
        #expect(second.phase == .draining)
        #expect(second.beginShutdown() == .none)
        #expect(second.start() == .alreadyStarted)
        second.close()
        #expect(second.start() == .alreadyStarted)
        #expect(!second.hasRun)
    }

    @Test("The end of a publish while handlers still run is not the end of them all")
    func flushing() {
        var lifecycle = BusLifecycle()
        #expect(lifecycle.start() == .started)
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
