import SoakAudit
import Testing

@Suite("The audit of events")
struct EventAuditTests {
    let event = Scene.event()

    @Test("A confirmed event that was handled once is no violation")
    func handled() {
        var scene = Scene()
        scene.publish(event, 10, 12)
        scene.handle(event, "plain-1", 13, 15)
        #expect(scene.violations.isEmpty)
        #expect(scene.report.value("  confirmed") == 1)
        #expect(scene.report.value("events handled") == 1)
    }

    @Test("A confirmed event that nobody handled is lost")
    func lost() {
        var scene = Scene()
        scene.publish(event, 10, 12)
        #expect(scene.violations == ["lost"])
        scene.record("plain-1", .delivered, event.rawValue, at: 13, extra: 1)
        #expect(scene.violations == ["lost"])
    }

    @Test("An event without a confirmation is not lost", arguments: [LedgerRecord.Kind.unknown, .refused, .unroutable])
    func unconfirmed(_ outcome: LedgerRecord.Kind) {
        var scene = Scene()
        scene.publish(event, 10, 12, outcome)
        #expect(scene.violations.isEmpty)
    }

    @Test("A dead letter is not lost, and only events that always fail may be one")
    func deadLetters() {
        let failing = Scene.event(.plain, .alwaysFails)
        var scene = Scene()
        scene.publish(failing, 10, 12)
        scene.handle(failing, "plain-1", 13, 14, .failed)
        scene.deadLetters = [DeadLetterEntry(group: "plain", id: failing.id, reason: "attempts_exhausted")]
        #expect(scene.violations.isEmpty)
        scene.publish(event, 20, 21)
        scene.deadLetters.append(DeadLetterEntry(group: "plain", id: event.id, reason: "attempts_exhausted"))
        #expect(scene.violations == ["dead letters of events that do not fail"])
    }

    @Test("A dead letter of another group does not count")
    func foreignDeadLetter() {
        let failing = Scene.event(.plain, .alwaysFails)
        var scene = Scene()
        scene.publish(failing, 10, 12)
        scene.deadLetters = [DeadLetterEntry(group: "inbox", id: failing.id, reason: "attempts_exhausted")]
        #expect(scene.violations == ["lost", "dead letters of events that do not fail"])
    }

    @Test("An event in a queue is not lost by the library if the queue is deleted")
    func deletedQueue() {
        var scene = Scene()
        scene.publish(event, 10, 12)
        scene.fault(.queueDeleted, "plain", 14, 15)
        #expect(scene.violations.isEmpty)
        #expect(scene.report.value("events in objects when they were deleted") == 1)
        let later = Scene.event(from: event.sequence + 1)
        scene.publish(later, 16, 17)
        #expect(scene.violations == ["lost"])
    }

    @Test("An event is not in the deleted queue of another group")
    func otherDeletedQueue() {
        var scene = Scene()
        scene.publish(event, 10, 12)
        scene.fault(.queueDeleted, "inbox", 14, 15)
        #expect(scene.violations == ["lost"])
    }

    @Test("An event that was never published is unexpected")
    func unexpected() {
        var scene = Scene()
        scene.handle(event, "plain-1", 13, 15)
        #expect(scene.violations == ["unexpected"])
    }

    @Test("An event with other contents is corrupt")
    func corrupt() {
        var scene = Scene()
        scene.publish(event, 10, 12)
        scene.handle(event, "plain-1", 13, 15)
        scene.record("plain-1", .corrupt, event.rawValue, at: 16)
        #expect(scene.violations == ["corrupt"])
    }

    @Test("A duplicate has to have a cause")
    func duplicates() {
        var scene = Scene()
        scene.publish(event, 10, 12)
        scene.handle(event, "plain-1", 13, 15)
        scene.handle(event, "plain-2", 100, 101)
        #expect(scene.violations == ["duplicates without a cause"])
        var disconnected = scene
        disconnected.record("plain-1", .disconnected, at: 90)
        #expect(disconnected.violations.isEmpty)
        #expect(disconnected.report.value("duplicates without an inbox") == 1)
        var killed = scene
        killed.fault(.workerKill, "plain-1", 14, 20)
        #expect(killed.violations.isEmpty)
        // The loss of a connection that has nothing to do with the event.
        var other = scene
        other.record("plain-1", .disconnected, at: 5)
        #expect(other.violations == ["duplicates without a cause"])
    }

    @Test("A publisher that lost its connection during the publish may have sent the event twice")
    func resentEvent() {
        var scene = Scene()
        scene.record("publisher-1", .attempted, event.rawValue, at: 10)
        scene.record("publisher-1", .disconnected, at: 11)
        scene.record("publisher-1", .confirmed, event.rawValue, at: 12)
        scene.handle(event, "plain-1", 13, 15)
        scene.handle(event, "plain-2", 14, 16)
        #expect(scene.violations.isEmpty)
    }

    @Test("With an inbox, only a kill, a stop or the loss of the records is a cause")
    func inboxDuplicates() {
        let event = Scene.event(.inbox)
        var scene = Scene()
        scene.publish(event, 10, 12)
        scene.handle(event, "inbox-1", 13, 15)
        scene.record("inbox-1", .disconnected, at: 16)
        scene.handle(event, "inbox-1", 100, 101)
        #expect(scene.violations == ["inbox: events with another effect without a cause"])
        var forgotten = scene
        forgotten.fault(.redisKill, "", 20, 50)
        #expect(forgotten.violations.isEmpty)
    }
}
