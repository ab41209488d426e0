import EventBus
import Testing

@testable import NotificationServer

@Suite("Addresses and message ids", .timeLimit(.minutes(1)))
struct MailAddressTests {
    private let domain: MailDomain

    init() throws {
        domain = try #require(MailDomain("customers.example"))
    }

    @Test(
        "Whatever a customer is called, the address is one, and another one for each",
        arguments: [
            ("VINET", "VINET"), ("a.b", "a.b"), (".a", "=2Ea"), ("a.", "a=2E"), ("a..b", "a.=2Eb"), ("a b", "a=20b"),
            ("a=2Eb", "a=3D2Eb"), ("ü", "=C3=BC"), ("a@b", "a=40b"), ("a\r\nBcc: all@x", "a=0D=0ABcc=3A=20all=40x"),
            ("<a>", "=3Ca=3E"), ("\"a\"", "=22a=22"),
        ]
    )
    func escaped(customer: String, name: String) throws {
        let address = try MailAddress(customerID: customer, domain: domain)
        #expect(address.description == "\(name)@customers.example")
        #expect(AtomText.isDotAtom(address.name))
    }

    @Test("Control characters are escaped")
    func controls() {
        #expect(AtomText.escaped("a\u{0}\u{1F}\u{7F}") == "a=00=1F=7F")
    }

    @Test("A customer id that cannot become an address is reported immediately")
    func unaddressable() {
        for customer in ["", String(repeating: "ü", count: 200)] {
            #expect(throws: UnaddressableCustomer(customerID: customer)) {
                try MailAddress(customerID: customer, domain: domain)
            }
        }
    }

    @Test("A sender's address is plain or invalid")
    func sender() {
        #expect(MailAddress("orders@shop.example")?.description == "orders@shop.example")
        #expect(MailAddress("first.last+tag@localhost") != nil)
        for text in [
            "", "orders", "@shop.example", "orders@", "a b@shop.example", "a@b@c", "a..b@c", "a@b\r\nBcc: c", "a@-b",
            "a@b..c", "<a@b>", "ü@b.c", "a@ü.c",
        ] {
            #expect(MailAddress(text) == nil, "\(text)")
        }
        #expect(MailAddress(String(repeating: "a", count: 65) + "@b") == nil)
        #expect(MailDomain(String(repeating: "a", count: 64)) == nil)
        #expect(MailDomain(Array(repeating: String(repeating: "a", count: 63), count: 4).joined(separator: ".")) == nil)
    }

    @Test("A message's id is derived from its event's, and differs for every event")
    func messageIDs() {
        func id(_ text: String) -> String { MessageID(EventID(text), domain: domain).description }
        #expect(id("order.confirmed:10248") == "<order.confirmed=3A10248@customers.example>")
        #expect(id("a>\r\nBcc: b") == "<a=3E=0D=0ABcc=3A=20b@customers.example>")
        let texts = ["a", "A", "a.", ".a", "a:b", "a=3Ab", "a=3ab", "a b", "a..b", "a.=2Eb", "ü", "=C3=BC"]
        #expect(Set(texts.map(id)).count == texts.count)
    }
}
