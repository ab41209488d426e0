import EventBus
import EventBusInMemory
import EventBusOutbox
import EventBusTesting
import Foundation
import GRDB
import NotificationService
import ServiceStorage
import ServiceTestKit
import ShopEvents
import Synchronization
import Testing

@testable import NotificationServer

@Suite("Notifications", .timeLimit(.minutes(2)))
struct SQLNotificationLogTests {
    private let scratch: Scratch
    private let database: DatabasePool
    private let clock = ManualClock()
    private let broker: InMemoryBroker

    init() throws {
        scratch = try Scratch()
        database = try scratch.database()
        broker = InMemoryBroker(clock: clock)
    }

    private func log(_ mailer: any Mailer) throws -> SQLNotificationLog {
        SQLNotificationLog(database: .sqlite(database), mailer: mailer, letterhead: try .sample)
    }

    private func file() async throws -> MailFile {
        try await opened(MailFile(path: scratch.path("mail.mbox"), logger: .quiet))
    }

    private func confirmed(_ id: String, _ customer: String = "VINET") -> OrderConfirmed {
        OrderConfirmed(orderID: id, customerID: customer, total: Money(cents: 1400))
    }

    /// Publishes events to the service as the order service does, and waits until they are handled.
    private func publish(
        _ events: [any OrderEvent],
        to log: some NotificationLog,
        inbox: (any Inbox)? = nil
    ) async throws -> [DeadLetter] {
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions.notifications(
            concurrency: 16,
            longest: .zero,
            inbox: inbox ?? InMemoryInbox(clock: clock)
        )
        NotificationService(bus: bus, log: log).subscribe(options: options)
        let broker = broker
        return try await bus.withRunning {
            for event in events {
                try await bus.publish(event, options: PublishOptions(id: EventID("outcome-of-\(event.orderID)")))
            }
            try await broker.settled(within: .seconds(100))
            return try await bus.deadLetters(of: NotificationService.group).entries(limit: 100)
        }
    }

    @Test("Each outcome is announced once and recorded with its event")
    func outcomes() async throws {
        let log = try log(await file())
        let cancelled = OrderCancelled(orderID: "2", customerID: "TOMSP", reason: .outOfStock, skus: ["A", "B"])
        let letters = try await publish([confirmed("1"), cancelled, confirmed("1"), cancelled], to: log)
        #expect(letters.isEmpty)
        let notices = try await log.all().sorted { $0.orderID < $1.orderID }
        #expect(notices.map(\.outcome) == [.confirmed, .cancelled])
        #expect(notices.last?.text == "Your order 2 is cancelled: A, B are out of stock.")
        let records = try await log.latest(about: "1", limit: 10)
        #expect(records.map(\.eventID) == ["outcome-of-1"])
        let mail = try await ReadMessage.all(in: scratch.path("mail.mbox"))
        #expect(Set(mail.map { $0.header("Subject") }) == ["Your order 1 is on its way", "Your order 2 is cancelled"])
        #expect(try await database.count(of: "eventbus_inbox") == 2)
    }

    @Test("After the inbox has lost its memory, the database recognizes redelivered events")
    func forgetfulInbox() async throws {
        let log = try log(await file())
        for _ in 1...3 { _ = try await publish([confirmed("1")], to: log) }
        #expect(try await log.all().count == 1)
        #expect(try await ReadMessage.all(in: scratch.path("mail.mbox")).count == 1)
    }

    @Test("If a process is killed between the mail and its record, there is one mail, and the next process records it")
    func killedBeforeRecord() async throws {
        let event = confirmed("1")
        let counting = CountingMailer(try await file())
        // The work of the killed process.
        _ = try await publish([event], to: try log(counting))
        try await database.execute("DELETE FROM notifications; DELETE FROM eventbus_inbox")
        let log = try log(counting)
        _ = try await publish([event], to: log)
        #expect(counting.count == 2)
        #expect(try await log.all().count == 1)
        #expect(try await ReadMessage.all(in: scratch.path("mail.mbox")).count == 1)
    }

    @Test("If the record cannot be written, the event is redelivered and the mail is not repeated")
    func recordFails() async throws {
        try await database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON notifications BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        let mailer = CountingMailer(try await file()) { count in
            if count == 3 { try await database.execute("DROP TRIGGER full") }
        }
        let log = try log(mailer)
        let letters = try await publish([confirmed("1")], to: log)
        #expect(letters.isEmpty)
        #expect(mailer.count == 3)
        #expect(try await log.all().count == 1)
        #expect(try await ReadMessage.all(in: scratch.path("mail.mbox")).count == 1)
    }

    @Test("The claim of a killed process is waited for, and the event is handled then")
    func abandonedClaim() async throws {
        let inbox = InMemoryInbox(clock: clock)
        let key = InboxKey(
            topic: OrderConfirmed.topic,
            eventID: "outcome-of-1",
            subscription: "\(NotificationService.group).order-outcomes"
        )
        let claim = try await inbox.begin(key, lease: .seconds(10))
        guard case .new = claim else { throw EventBusError(.leaseExpired, "the claim is not new") }
        let log = try log(await file())
        let letters = try await publish([confirmed("1")], to: log, inbox: inbox)
        #expect(letters.isEmpty)
        #expect(try await log.all().count == 1)
    }

    @Test("While the inbox is unreachable nothing is sent and nothing is lost, for any number of attempts")
    func inboxOutage() async throws {
        let log = try log(await file())
        let inbox = UnsteadyInbox(clock, beginsThatFail: 1_000, completionsThatFail: 0)
        let letters = try await publish([confirmed("1"), confirmed("2")], to: log, inbox: inbox)
        #expect(letters.isEmpty)
        #expect(try await log.all().count == 2)
    }

    @Test("An inbox that is lost after the mail causes no second one")
    func completionOutage() async throws {
        let mailer = CountingMailer(try await file())
        let log = try log(mailer)
        let inbox = UnsteadyInbox(clock, beginsThatFail: 0, completionsThatFail: 3)
        let letters = try await publish([confirmed("1")], to: log, inbox: inbox)
        #expect(letters.isEmpty)
        #expect(try await log.all().count == 1)
        #expect(mailer.count == 1)
    }

    @Test("While the mail server is down for hours nothing is lost, and only one event at a time tries it")
    func mailOutage() async throws {
        let mailer = RecoveringMailer(clock, downFor: .seconds(2 * 60 * 60))
        let log = try log(mailer)
        let letters = try await publish((1...50).map { confirmed("\($0)") }, to: log)
        #expect(letters.isEmpty)
        #expect(mailer.sent == 50)
        #expect(try await log.all().count == 50)
        // A probe every five seconds are 1440. Without the breaker, each event would try it every half minute.
        #expect(mailer.attempts < 2000)
    }

    @Test("A message that can never be sent is dead-lettered with the reason and delays no other")
    func refused() async throws {
        let log = try log(await file())
        let letters = try await publish([confirmed("1", String(repeating: "🙂", count: 100)), confirmed("2")], to: log)
        #expect(letters.map(\.failure.reason) == [.nonRetryable])
        #expect(
            letters.first?.failure.message.contains("no address can be made of a customer id with 400 bytes") == true
        )
        #expect(try await log.all().map(\.orderID) == ["2"])
    }

    @Test("Over SMTP: finally accepted, permanently refused")
    func smtp() async throws {
        let server = try await MailServer()
        var configuration = try SMTPConfiguration(url: "smtp://127.0.0.1:\(server.port)")
        configuration.encryption = .ifOffered
        let log = try log(SMTPMailer(configuration))
        let letters = try await publish(
            [confirmed("1"), confirmed("2", "twice2"), confirmed("3", "refused"), confirmed("1")],
            to: log
        )
        #expect(letters.map(\.envelope.id) == ["outcome-of-3"])
        #expect(letters.first?.failure.reason == .nonRetryable)
        #expect(letters.first?.failure.message.contains("550 5.1.1 There is no such mailbox") == true)
        #expect(Set(try server.entries.flatMap(\.to)) == ["VINET@customers.example", "twice2@customers.example"])
        #expect(try server.entries.count == 2)
        #expect(Set(try await log.all().map(\.orderID)) == ["1", "2"])
    }

    @Test("An event whose id no column of text holds is announced once, and recorded with its id")
    func foreignIDs() async throws {
        let counting = CountingMailer(try await file())
        let log = try log(counting)
        let bus = EventBus(transport: .inMemory(broker))
        let options = SubscriptionOptions.notifications(
            concurrency: 1,
            longest: .zero,
            inbox: InMemoryInbox(clock: clock)
        )
        NotificationService(bus: bus, log: log).subscribe(options: options)
        let ids: [EventID] = ["a", "a\u{0}b", "a\u{0}c", "hex:61", "hex:zz"]
        try await bus.withRunning {
            for (number, id) in ids.enumerated() {
                for _ in 1...2 { try await bus.publish(confirmed("\(number)"), options: PublishOptions(id: id)) }
            }
            try await broker.settled(within: .seconds(100))
        }
        #expect(counting.count == ids.count)
        let records = try await log.latest(about: nil, limit: 100)
        #expect(Set(records.map(\.eventID)) == Set(ids))
        #expect(ids.map { StoredEventID.id(of: StoredEventID.text(of: $0)) } == ids)
        #expect(ids.allSatisfy { !StoredEventID.text(of: $0).utf8.contains(0) })
    }

    @Test("What the database cannot hold is not sent")
    func unstorable() async throws {
        let counting = CountingMailer(try await file())
        let log = try log(counting)
        for text in ["order", "customer", "text"] {
            func value(_ name: String) -> String { name == text ? "a\u{0}" : name }
            let notice = Notice(
                orderID: value("order"),
                customerID: value("customer"),
                outcome: .confirmed,
                text: value("text")
            )
            await #expect(throws: UnstorableNotification.self) { try await log.send(notice, handling: nil) }
        }
        #expect(counting.count == 0)
    }

    @Test("Notifications without a delivery are identified by their orders")
    func withoutDelivery() async throws {
        let log = try log(await file())
        let notice = Notice(orderID: "1", customerID: "VINET", outcome: .confirmed, text: "On its way.")
        #expect(try await log.send(notice, handling: nil))
        #expect(try await log.send(notice, handling: nil) == false)
        _ = try await publish([confirmed("1")], to: log)
        #expect(try await log.all() == [notice])
        #expect(try await log.latest(about: nil, limit: 1).map(\.eventID) == ["1"])
    }
}
