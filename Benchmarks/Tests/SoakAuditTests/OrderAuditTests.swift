import SoakAudit
import Testing

@Suite("The audit of order, locks and time")
struct OrderAuditTests {
    let first = Scene.event(.keyed)
    var second: EventNumber { Scene.event(.keyed, from: first.sequence + 1) }

    private func scene() -> Scene {
        var scene = Scene()
        scene.publish(first, 10, 12)
        scene.publish(second, 13, 14)
        return scene
    }

    @Test("Events of a key that are handled in order are no violation")
    func order() {
        var scene = scene()
        scene.handle(first, "keyed-1", 20, 21)
        scene.handle(second, "keyed-1", 22, 23)
        #expect(scene.violations.isEmpty)
        #expect(scene.report.value("keys") == 1)
    }

    @Test("An event that is handled before an earlier one is an inversion")
    func inversion() {
        var scene = scene()
        scene.handle(second, "keyed-1", 20, 21)
        scene.handle(first, "keyed-1", 22, 23)
        #expect(scene.violations == ["inversions of a key"])
    }

    @Test("An event whose publish has no known outcome may arrive late")
    func lateCopy() {
        var scene = Scene()
        scene.publish(first, 10, 12, .unknown)
        scene.publish(second, 13, 14)
        scene.handle(second, "keyed-1", 20, 21)
        scene.handle(first, "keyed-1", 22, 23)
        #expect(scene.violations.isEmpty)
    }

    @Test("Two events of a key at the same time are an overlap, unless an instance was stopped or cut off")
    func overlap() {
        var scene = scene()
        scene.handle(first, "keyed-1", 20, 30)
        scene.handle(second, "keyed-2", 25, 40)
        #expect(scene.violations == ["other overlaps of a key"])
        var stopped = scene
        stopped.fault(.workerPause, "keyed-1", 21, 29)
        #expect(stopped.violations.isEmpty)
        var cutOff = scene
        cutOff.record("keyed-1", .disconnected, at: 29)
        #expect(cutOff.violations.isEmpty)
    }

    @Test("A lock has one holder at a time, and its fencing tokens grow")
    func locks() {
        var scene = Scene()
        scene.lock("lock-1", 1, 10, 20, fence: 5)
        scene.lock("lock-2", 1, 20, 30, fence: 6)
        scene.lock("lock-2", 2, 10, 30, fence: 1)
        #expect(scene.violations.isEmpty)
        #expect(scene.report.value("locks granted") == 3)
        var overlapping = scene
        overlapping.lock("lock-1", 1, 29, 31, fence: 7)
        #expect(overlapping.violations == ["other overlaps of a lock"])
        overlapping.fault(.workerPause, "lock-2", 21, 29)
        #expect(overlapping.violations.isEmpty)
        var backwards = scene
        backwards.lock("lock-1", 1, 40, 41, fence: 6)
        #expect(backwards.violations == ["fencing tokens that went back"])
    }

    @Test("A holder that was killed holds its lock until its last entry")
    func killedHolder() {
        var scene = Scene()
        scene.record("lock-1", .lockRequested, 1, at: 10)
        scene.record("lock-1", .lockAcquired, 1, at: 11, extra: 5)
        scene.record("lock-1", .started, at: 100)
        scene.lock("lock-2", 1, 50, 60, fence: 6)
        #expect(scene.violations.isEmpty)
    }

    @Test("A call may exceed its deadline by a second, without the time that its process was stopped")
    func deadlines() {
        let event = Scene.event()
        var scene = Scene()
        scene.publish(event, 0, 10_900, .refused)
        #expect(scene.violations.isEmpty)
        scene.publish(Scene.event(from: event.sequence + 1), 0, 11_100, .refused)
        #expect(scene.violations == ["calls past their deadline by more than a second"])
        scene.fault(.workerPause, "publisher-1", 100, 400)
        #expect(scene.violations.isEmpty)
    }

    @Test("A fault has recovered when all topics and locks work again")
    func recovery() {
        var scene = Scene()
        scene.fault(.rabbitKill, "", 100, 200)
        for topic in SoakTopic.allCases {
            let event = Scene.event(topic)
            scene.publish(event, 210, 300)
            scene.handle(event, "\(topic.group)-1", 310, topic == .keyed ? 700 : 320)
        }
        scene.lock("lock-1", 1, 220, 230, fence: 1)
        #expect(scene.report.recoveries.map(\.max) == [500])
        #expect(scene.report.violations.isEmpty)
        scene.fault(.redisKill, "", 400, 500)
        #expect(scene.report.violations.map(\.name) == ["faults without a recovery"])
    }

    @Test("Descriptors and threads return to their number at the beginning")
    func resources() {
        var scene = Scene()
        func sample(_ seconds: UInt64, _ descriptors: Int, _ threads: Int) -> ResourceSample {
            ResourceSample(
                worker: "plain-1",
                process: 1,
                time: seconds * 1_000_000_000,
                kilobytes: Int(seconds) * 10,
                descriptors: descriptors,
                threads: threads
            )
        }
        scene.samples = [sample(0, 3, 1), sample(10, 9, 5), sample(100, 40, 5), sample(3_610, 9, 5)]
        #expect(scene.violations.isEmpty)
        #expect(scene.report.resources.map(\.kilobytesPerHour) == [36_000])
        scene.samples.append(sample(3_620, 14, 5))
        #expect(scene.violations == ["processes with more descriptors or threads than at first"])
    }
}
