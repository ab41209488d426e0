import FoundationEssentials
import ShopEvents
import Testing

@Suite("Money is exact", .timeLimit(.minutes(1)))
struct MoneyTests {
    @Test("A sum that is too large becomes the largest amount")
    func overflow() {
        #expect(Money(cents: .max) + Money(cents: 1) == Money(cents: .max))
        #expect(Money(cents: .min) + Money(cents: -1) == Money(cents: .min))
        #expect(Money(cents: .max) + Money(cents: -1) == Money(cents: .max - 1))
    }

    @Test(
        "A decimal text is read to the cent",
        arguments: [("14.00", 1_400), ("0.05", 5), ("7", 700), ("9.8", 980), ("-3.10", -310)] as [(String, Int64)]
    )
    func reading(text: String, cents: Int64) {
        #expect(Money(text)?.cents == cents)
    }

    @Test(
        "What is no amount is refused",
        arguments: [
            "", "-", ".", "1.", ".5", "1.005", "1,00", "1e3", " 1", "١", "--1", "1.2.3", "92233720368547758.08",
        ]
    )
    func refusing(text: String) {
        #expect(Money(text) == nil)
    }

    @Test("An amount is a decimal string on the wire", arguments: ["0.00", "0.07", "14.00", "-3.10", "1234.56"])
    func roundTrip(text: String) throws {
        let json = try JSONEncoder().encode([#require(Money(text))])
        #expect(String(decoding: json, as: UTF8.self) == "[\"\(text)\"]")
        #expect(try JSONDecoder().decode([Money].self, from: json) == [Money(text)])
    }

    @Test("A line's total is rounded half up to the cent")
    func lineTotal() throws {
        func total(_ price: String, _ quantity: Int, _ discount: String) throws -> String? {
            let (price, discount) = try (#require(Money(price)), #require(Discount(discount)))
            return OrderLine(sku: "A", quantity: quantity, unitPrice: price, discount: discount)?.total.description
        }
        #expect(try total("14.00", 12, "0.00") == "168.00")
        #expect(try total("42.40", 35, "0.15") == "1261.40")
        #expect(try total("0.01", 1, "0.5") == "0.01")
        #expect(try total("0.01", 1, "0.51") == "0.00")
        #expect(try total("1000000.00", 1_000_000, "0") == "1000000000000.00")
    }

    @Test("A discount is from 0 to 1", arguments: ["-0.01", "1.0001", "2", "x", "0.00001"])
    func discountBounds(text: String) {
        #expect(Discount(text) == nil)
    }
}
