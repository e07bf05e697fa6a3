package money

// Currency is an ISO 4217 code, or the code of a digital currency.
type Currency string

// INR is the Indian rupee, in paisa.
const INR Currency = "INR"

// digitalExponent is the number of decimals of what is no state's currency: a hundred-millionth is what such systems settle in.
const digitalExponent = 8

// Exponent is the number of decimals of the currency (ISO 4217, minor unit); false when the ledger does not know it.
func (c Currency) Exponent() (int32, bool) {
	switch c {
	case INR, "USD", "EUR", "GBP", "AED", "SGD":
		return 2, true
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0, true
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3, true
	case "BTC", "ETH", "USDC", "USDT":
		return digitalExponent, true
	default:
		return hundredths(c)
	}
}

// hundredths knows the rest of the currencies that have two decimals.
func hundredths(c Currency) (int32, bool) {
	switch c {
	case "ALL", "AMD", "ARS", "AUD", "AZN", "BBD", "BDT", "BGN", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CHF",
		"CNY", "COP", "CRC", "CUP", "CZK", "DKK", "DOP", "DZD", "EGP", "ETB", "FJD", "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG",
		"HUF", "IDR", "ILS", "JMD", "KES", "KGS", "KHR", "KYD", "KZT", "LAK", "LKR", "LRD", "LSL", "MAD", "MDL", "MKD", "MMK", "MNT", "MOP", "MUR",
		"MVR", "MWK", "MXN", "MYR", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR",
		"SCR", "SEK", "SLE", "SOS", "SZL", "THB", "TRY", "TTD", "TWD", "TZS", "UAH", "UYU", "UZS", "YER", "ZAR", "ZMW":
		return 2, true
	default:
		return 0, false
	}
}
